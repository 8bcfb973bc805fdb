-- Some users' entries with their neighbours. Follows the preludes `ready` and `rows`.
-- KEYS: meta, places, entries, names.
-- ARGV: season, how many neighbours on each side, users.
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq, total, then for each user: {place, first place, rows}, or {} where the
-- user has no entry}; places are zero-based, for rows see `rows`.
local state, other = ready(ARGV[1])
if not state then
  return other
end
local around = tonumber(ARGV[2])
local answer = { state.epoch, state.seq, state.n }
for i = 3, #ARGV do
  local held = redis.call('HGET', KEYS[3], ARGV[i])
  if held then
    local place = redis.call('ZRANK', KEYS[2], string.sub(held, -14) .. ARGV[i])
    local first = math.max(place - around, 0)
    local found
    if around > 0 then
      found = rows(state, first, place + around, false)
    else
      -- The entry record holds the score, which spares a friends' list a walk through the sorted set for each friend.
      local name = state.names > 0 and redis.call('HGET', KEYS[4], ARGV[i])
      found = { string.sub(held, -14) .. ARGV[i] .. '\n' .. string.match(held, ':(-?%d+):'), name and { name } or false, false }
    end
    answer[#answer + 1] = { place, first, found }
  else
    answer[#answer + 1] = {}
  end
end
return answer
