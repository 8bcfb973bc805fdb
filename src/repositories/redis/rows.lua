-- A prelude of the scripts that cut rows out of a ranking: put behind `ready`.

-- Looks fields up in a hash, in slices that `unpack` can carry.
local function lookup(key, fields)
  local values = {}
  for from = 1, #fields, 1000 do
    local slice = redis.call('HMGET', key, unpack(fields, from, math.min(from + 999, #fields)))
    for i = 1, #slice do
      values[from + i - 1] = slice[i]
    end
  end
  return values
end

-- The rows from one zero-based place to another, both included: {member, score, name record or false, …}, and with `details` the entry
-- record as a fourth column.
local function rows(state, from, to, details)
  local found = redis.call('ZRANGE', KEYS[2], from, to, 'WITHSCORES')
  local users = {}
  for i = 1, #found, 2 do
    users[#users + 1] = string.sub(found[i], 15)
  end
  local names = state.names > 0 and lookup(KEYS[4], users) or {}
  local entries = details and lookup(KEYS[3], users) or {}
  local answer = {}
  for i = 1, #users do
    answer[#answer + 1] = found[2 * i - 1]
    answer[#answer + 1] = found[2 * i]
    answer[#answer + 1] = names[i] or false
    if details then
      answer[#answer + 1] = entries[i] or false
    end
  end
  return answer
end
