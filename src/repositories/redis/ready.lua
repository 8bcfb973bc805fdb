-- The prelude of every script that needs a ready ranking: prepended to it, never run alone.
-- KEYS[1] meta, KEYS[2] places (sorted set), KEYS[3] entries (hash), KEYS[4] names (hash).
--
-- A ranking is trusted only while nothing can have been lost since it was built, and that is checked in O(1):
--   * meta exists, and is of the requested season ('' accepts any);
--   * this server is a master with the replication id under which the ranking was built. The id changes with every start of the process
--     and with every promotion of a replica, and both may lose writes that were answered. (It also changes when a server gets its first
--     replica and an hour after it lost its last one: then a rebuild is due for nothing, which is rare and harmless);
--   * places, entries and names have the sizes that the last write left, so that the eviction of one key is noticed.
--
-- Returns what is known of it; else nil, and what the script then answers: false where the ranking is lost; the season that it is of where it
-- has gone on to a later one than was asked for, and the same with a minus where it has yet to go on to that one: neither is a loss.
local function ready(season)
  local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'season', 'n', 'names', 'server')
  if not (meta[3] and meta[6]) then
    return nil, false
  end
  local other = season ~= '' and season ~= meta[3]
  if other and tonumber(season) < tonumber(meta[3]) then
    return nil, tonumber(meta[3])
  end
  local n, names = tonumber(meta[4]), tonumber(meta[5])
  if redis.call('ZCARD', KEYS[2]) ~= n or redis.call('HLEN', KEYS[3]) ~= n or redis.call('HLEN', KEYS[4]) ~= names then
    return nil, false
  end
  local info = redis.call('INFO', 'replication')
  if not (string.find(info, 'role:master', 1, true) and string.find(info, meta[6], 1, true)) then
    return nil, false
  end
  if other then
    return nil, -tonumber(meta[3])
  end
  return { epoch = meta[1], seq = tonumber(meta[2]), n = n, names = names, season = meta[3] }
end
