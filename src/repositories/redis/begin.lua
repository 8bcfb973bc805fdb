-- Begins a rebuild: the ranking is not ready from here on, and its contents are dropped. Follows the prelude `ready`.
-- KEYS: meta, places, entries, names, stream, lease, tombstone.
-- ARGV: token, length of the lease (ms), season, what may be replaced, an epoch.
--       'lost': a ranking that is not ready; 'any': also a ready one, and one that another instance is rebuilding; 'wrong': the ready one of
--       that epoch, where it is still the present one; 'deleted': also one whose deletion was announced, or that has gone on to
--       a later season: the ledger says otherwise.
-- Returns 0 where the board was deleted or a later season is held or being built, false where another rebuild holds the lease or has been quicker, or
-- where nothing is lost and the ranking has yet to go on to this season; else {the previous epoch, or ''}.
--
-- Only the fields of meta that outlive a rebuild stay; without the others `ready` returns nil, so the new entries are loaded into the
-- keys from which they will be read. The old ones are freed in the background. Nothing that a wrong ranking announced counts,
-- definitions included.
local what = ARGV[4]
if what == 'deleted' then
  redis.call('DEL', KEYS[7])
elseif redis.call('EXISTS', KEYS[7]) == 1 then
  return 0
end
local held = redis.call('HMGET', KEYS[1], 'epoch', 'season')
local later = math.max(tonumber(held[2] or 0), tonumber(redis.call('HGET', KEYS[6], 'season') or 0)) > tonumber(ARGV[3])
if later and what ~= 'deleted' then
  return 0
end
local state, other = ready(ARGV[3])
local earlier = not state and other and other < 0 and what ~= 'wrong'
if what ~= 'any' and ((state and (what ~= 'wrong' or state.epoch ~= ARGV[5])) or earlier or redis.call('EXISTS', KEYS[6]) == 1) then
  return false
end
redis.call('DEL', KEYS[6])
redis.call('HSET', KEYS[6], 'token', ARGV[1], 'season', ARGV[3], 'n', 0, 'names', 0)
redis.call('PEXPIRE', KEYS[6], ARGV[2])
redis.call('HDEL', KEYS[1], 'seq', 'season', 'n', 'names', 'server', 'builder')
if what == 'wrong' or what == 'deleted' then
  local fields = redis.call('HKEYS', KEYS[1])
  for i = 1, #fields do
    if fields[i] == 'definition' or string.find(fields[i], 'published:', 1, true) == 1 then
      redis.call('HDEL', KEYS[1], fields[i])
    end
  end
end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
return { held[1] or '' }
