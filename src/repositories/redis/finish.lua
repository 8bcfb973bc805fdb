-- Makes the ranking under construction the ready one, at the beginning of a new epoch.
-- KEYS: meta, places, entries, names, lease.
-- ARGV: token, epoch, season, channel.
-- Returns {epoch}, false if another rebuild took over, or 0 if entries were evicted meanwhile. A repetition returns the same.
local done = redis.call('HMGET', KEYS[1], 'builder', 'epoch')
if done[1] == ARGV[1] then
  return { done[2] }
end
local lease = redis.call('HMGET', KEYS[5], 'token', 'n', 'names')
if lease[1] ~= ARGV[1] then
  return false
end
local n, names = tonumber(lease[2]), tonumber(lease[3])
if redis.call('ZCARD', KEYS[2]) ~= n or redis.call('HLEN', KEYS[3]) ~= n or redis.call('HLEN', KEYS[4]) ~= names then
  redis.call('DEL', KEYS[5])
  return 0
end
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:%x+')
if not server then
  return redis.error_reply('ERR INFO replication tells no master_replid, so a failover could not be noticed')
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'seq', 0, 'season', ARGV[3], 'n', n, 'names', names, 'server', server, 'builder', ARGV[1], 'profiles', ARGV[2])
-- 'profiles' says of which epoch the names hold pictures and countries, too: a release before that kept neither.
-- The previous release expects it.
redis.call('HSETNX', KEYS[1], 'definition', 0)
redis.call('DEL', KEYS[5])
redis.call('PUBLISH', ARGV[4], 'reset ' .. ARGV[2])
return { ARGV[2] }
