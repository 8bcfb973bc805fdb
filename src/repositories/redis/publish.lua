-- Publishes an event that moves nobody, once per revision of its kind. Behind `ready` and `tell`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: season, channel, history, field of meta that holds the newest revision published, revision, letter of the line, fields.
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq}.
local state, other = ready(ARGV[1])
if not state then
  return other
end
if tonumber(ARGV[5]) <= tonumber(redis.call('HGET', KEYS[1], ARGV[4]) or 0) then
  return { state.epoch, state.seq }
end
local seq = state.seq + 1
redis.call('HSET', KEYS[1], 'seq', seq, ARGV[4], ARGV[5])
tell(ARGV[2], state.epoch, seq, tonumber(ARGV[3]), { '', '\n' .. ARGV[6] .. ' ' .. seq .. ' 0 0 ' .. state.n .. ' ' .. ARGV[7] })
return { state.epoch, seq }
