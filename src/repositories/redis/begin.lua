-- Begins a rebuild: the ranking is not ready from here on, and what was held of it is given up.
-- KEYS: meta, places, entries, names, stream, lease, tombstone.
-- ARGV: token, length of the lease (ms), '1' to take over a rebuild that is on its way.
-- Returns 0 where the board was deleted, false where another rebuild holds the lease, else {the previous epoch, or ''}.
--
-- Of meta only what outlives a rebuild stays; without the rest `ready` says no, so the new entries are loaded right where they will be
-- read. The old ones are freed in the background.
if redis.call('EXISTS', KEYS[7]) == 1 then
  return 0
end
if ARGV[3] ~= '1' and redis.call('EXISTS', KEYS[6]) == 1 then
  return false
end
redis.call('DEL', KEYS[6])
redis.call('HSET', KEYS[6], 'token', ARGV[1], 'n', 0, 'names', 0)
redis.call('PEXPIRE', KEYS[6], ARGV[2])
redis.call('HDEL', KEYS[1], 'seq', 'season', 'n', 'names', 'server', 'builder')
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
return { redis.call('HGET', KEYS[1], 'epoch') or '' }
