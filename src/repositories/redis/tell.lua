-- A prelude of the scripts that publish events: appended to `ready`. KEYS[5] is the stream.

-- Stores the events, the last of which has sequence number `seq`, and publishes them as one message: the pieces from the second on,
-- each event beginning with a line break, after the head that becomes the first piece. The id of a stream entry is the sequence number
-- of its last event; only entries before the newest `history` events are trimmed.
local function tell(channel, epoch, seq, history, pieces)
  pieces[1] = 'events ' .. epoch
  local payload = table.concat(pieces)
  local oldest = math.max(seq - history + 1, 0)
  redis.call('XADD', KEYS[5], 'MINID', '~', oldest .. '-0', seq .. '-0', 'p', payload)
  redis.call('PUBLISH', channel, payload)
end
