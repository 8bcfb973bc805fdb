-- A second prelude, of the scripts that tell events: put behind `ready`. KEYS[5] is the stream.

-- Keeps the events, the last of which has sequence number `seq`, and publishes them as one message: the pieces from the second on, each
-- event beginning with a line break, behind the head that becomes the first piece. The id of a stream entry is the sequence number of its
-- last event; what is trimmed lies before the newest `history` events.
local function tell(channel, epoch, seq, history, pieces)
  pieces[1] = 'events ' .. epoch
  local payload = table.concat(pieces)
  local oldest = math.max(seq - history + 1, 0)
  redis.call('XADD', KEYS[5], 'MINID', '~', oldest .. '-0', seq .. '-0', 'p', payload)
  redis.call('PUBLISH', channel, payload)
end
