-- What is known of a ranking without reading its entries. Follows the prelude `ready`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: season, how many event ids.
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq, total, ids of the newest events, 1 where
-- names hold pictures and countries, or else 0}.
--
-- A stream entry holds a batch, of which the newest few kilobytes are looked through. No body can hold the pattern by chance: the quotation
-- marks of a text are escaped in JSON.
local state, other = ready(ARGV[1])
if not state then
  return other
end
local ids, wanted = {}, tonumber(ARGV[2])
local batches = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 8)
for i = 1, #batches do
  local found = {}
  for id in string.gmatch(string.sub(batches[i][2][2], -16384), '"eventId":"([%x-]+)"') do
    found[#found + 1] = id
  end
  for at = #found, 1, -1 do
    if #ids < wanted then
      ids[#ids + 1] = found[at]
    end
  end
  if #ids >= wanted then
    break
  end
end
return { state.epoch, state.seq, state.n, ids, redis.call('HGET', KEYS[1], 'profiles') == state.epoch and 1 or 0 }
