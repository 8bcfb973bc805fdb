-- A section of the history. Follows the prelude `ready`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: sequence number to start after, sequence number to reach.
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq, payloads}. A stream entry holds a batch and is named after its last event,
-- so the first one may begin before the stretch and the last one end behind it.
local state = ready('')
if not state then
  return false
end
local payloads = {}
local function add(found)
  for i = 1, #found do
    payloads[#payloads + 1] = found[i][2][2]
  end
end
add(redis.call('XRANGE', KEYS[5], '(' .. ARGV[1] .. '-0', ARGV[2] .. '-0'))
add(redis.call('XRANGE', KEYS[5], '(' .. ARGV[2] .. '-0', '+', 'COUNT', 1))
return { state.epoch, state.seq, payloads }
