-- Announces the deletion of a leaderboard and removes its keys. Follows the prelude `ready`.
-- KEYS: meta, places, entries, names, stream, lease, watchers, tombstone.
-- ARGV: channel, an epoch of this moment, event body, how long to remember the deletion (seconds).
-- Returns {epoch, seq}. A repetition finds the tombstone and returns the same.
--
-- A ranking that is not ready is deleted as well, because no instance will rebuild it: its last event is then alone in an epoch of
-- its own.
local told = redis.call('HMGET', KEYS[8], 'epoch', 'seq')
if told[1] then
  return { told[1], tonumber(told[2]) }
end
local state = ready('')
if not state then
  local epoch, previous = ARGV[2], redis.call('HGET', KEYS[1], 'epoch')
  if previous and epoch <= previous then
    epoch = previous .. '0'
  end
  state = { epoch = epoch, seq = 0, n = 0 }
end
local seq = state.seq + 1
redis.call('HSET', KEYS[8], 'epoch', state.epoch, 'seq', seq)
redis.call('EXPIRE', KEYS[8], ARGV[4])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
redis.call('PUBLISH', ARGV[1], 'events ' .. state.epoch .. '\nX ' .. seq .. ' 0 0 ' .. state.n .. ' ' .. ARGV[3])
return { state.epoch, seq }
