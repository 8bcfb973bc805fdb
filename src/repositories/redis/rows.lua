-- A prelude of the scripts that read rows from a ranking: appended to `ready`.

-- Looks fields up in a hash, in slices that `unpack` can handle.
local function lookup(key, fields)
  if #fields <= 1000 then
    return #fields > 0 and redis.call('HMGET', key, unpack(fields)) or fields
  end
  local values = {}
  for from = 1, #fields, 1000 do
    local slice = redis.call('HMGET', key, unpack(fields, from, math.min(from + 999, #fields)))
    for i = 1, #slice do
      values[from + i - 1] = slice[i]
    end
  end
  return values
end

-- The rows from one zero-based index to another, both included: {members and scores, name records, entry records}. The first is one
-- text with alternating lines for members and scores: as separate values they would cost the server more than finding them. The others
-- are tables with a record or false for each row; the whole is false if there are no names, or without `details`, respectively.
local function rows(state, from, to, details)
  local found = redis.call('ZRANGE', KEYS[2], from, to, 'WITHSCORES')
  local names, entries = false, false
  if state.names > 0 or details then
    local users = {}
    for i = 1, #found, 2 do
      users[(i + 1) / 2] = string.sub(found[i], 15)
    end
    names = state.names > 0 and lookup(KEYS[4], users)
    entries = details and lookup(KEYS[3], users)
  end
  return { table.concat(found, '\n'), names, entries }
end
