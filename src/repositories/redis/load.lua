-- Adds entries to the ranking under construction and renews the lease.
-- KEYS: places, entries, names, lease.
-- ARGV: token, length of the lease (ms); then for each of at most 1000 entries: user, entry record, sort score, member, name record
--       or ''. A removed entry: user, '', revision, '', name record or ''; see `apply`.
-- Returns 1, or false if another rebuild took over. A repetition changes nothing.
if redis.call('HGET', KEYS[4], 'token') ~= ARGV[1] then
  return false
end
local places, entries, names = {}, {}, {}
for i = 3, #ARGV, 5 do
  if ARGV[i + 1] == '' then
    names[#names + 1], names[#names + 2] = '\2' .. ARGV[i], ARGV[i + 2]
  else
    entries[#entries + 1], entries[#entries + 2] = ARGV[i], ARGV[i + 1]
    places[#places + 1], places[#places + 2] = ARGV[i + 2], ARGV[i + 3]
  end
  if ARGV[i + 4] ~= '' then
    names[#names + 1], names[#names + 2] = ARGV[i], ARGV[i + 4]
  end
end
if #entries > 0 then
  redis.call('ZADD', KEYS[1], unpack(places))
  redis.call('HINCRBY', KEYS[4], 'n', redis.call('HSET', KEYS[2], unpack(entries)))
end
if #names > 0 then
  redis.call('HINCRBY', KEYS[4], 'names', redis.call('HSET', KEYS[3], unpack(names)))
end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
return 1
