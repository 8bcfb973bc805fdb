-- Tells a change of the definition, once per definition revision. Behind `ready` and `tell`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: season, channel, history, definition revision, event body.
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq}.
local state, other = ready(ARGV[1])
if not state then
  return other
end
if tonumber(ARGV[4]) <= state.definition then
  return { state.epoch, state.seq }
end
local seq = state.seq + 1
redis.call('HSET', KEYS[1], 'seq', seq, 'definition', ARGV[4])
tell(ARGV[2], state.epoch, seq, tonumber(ARGV[3]), { '', '\nD ' .. seq .. ' 0 0 ' .. state.n .. ' ' .. ARGV[5] })
return { state.epoch, seq }
