-- Turns a ranking over to the next season at each of some boundaries, in their order. Follows the preludes `ready` and `tell`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: channel, history; then for each boundary: the season that ends, the line of its end, the line of the beginning of the next one.
-- Returns false where the ranking is not ready, minus its season where that is earlier than the first that ends, else {epoch, seq}. Boundaries that it
-- has passed already change nothing.
local state, other = ready('')
if not state then
  return other
end
local season, seq, n = tonumber(state.season), state.seq, state.n
local pieces, size = { '' }, 1
local function event(line)
  seq = seq + 1
  pieces[size + 1] = '\nS ' .. seq .. ' 0 0 ' .. n .. ' ' .. line
  size = size + 1
end
for i = 3, #ARGV, 3 do
  local ended = tonumber(ARGV[i])
  -- Only the first can be too late: the others follow one another.
  if season < ended then
    return -season
  end
  if season == ended then
    event(ARGV[i + 1])
    season, n = ended + 1, 0
    event(ARGV[i + 2])
  end
end
if size > 1 then
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
  redis.call('HSET', KEYS[1], 'seq', seq, 'season', season, 'n', 0, 'names', 0)
  tell(ARGV[1], state.epoch, seq, tonumber(ARGV[2]), pieces)
end
return { state.epoch, seq }
