-- Applies a display name that is newer than the stored one, and announces the user's new profile, once per revision. Follows the
-- preludes `ready` and `tell`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: season, channel, history, user, revision, name record ('' where it is not worth keeping), event body ('' where there is none to tell).
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq}.
--
-- A user without an entry is renamed too: the entry may be in flight, settled while the old name was still in force. A score may have
-- brought the name before: that is why the announced revision is stored separately, among the names, with a prefix that no user id
-- contains.
--
-- The event is told as a score by which nobody moves: a release before this one would take no other kind. Rank 0 means that there is no entry.
local state, other = ready(ARGV[1])
if not state then
  return other
end
local names, user, revision, record, body = KEYS[4], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local held = redis.call('HGET', names, user)
local renamed = record ~= '' and not (held and tonumber(string.match(held, '^%d+')) >= revision)
if renamed then
  redis.call('HSET', names, user, record)
end
-- Whoever was removed or is hidden is in no ranking that could be told.
local left = redis.call('HEXISTS', names, '\2' .. user) == 1
local told = body ~= '' and not left and tonumber(redis.call('HGET', names, '\1' .. user) or -1)
local seq = state.seq
if told and told < revision then
  redis.call('HSET', names, '\1' .. user, ARGV[5])
  local entry = redis.call('HGET', KEYS[3], user)
  local rank = entry and redis.call('ZRANK', KEYS[2], string.sub(entry, -14) .. user) + 1 or 0
  seq = seq + 1
  redis.call('HSET', KEYS[1], 'seq', seq, 'names', redis.call('HLEN', names))
  tell(ARGV[2], state.epoch, seq, tonumber(ARGV[3]), { '', '\nS ' .. seq .. ' ' .. rank .. ' ' .. rank .. ' ' .. state.n .. ' ' .. body })
elseif renamed then
  redis.call('HSET', KEYS[1], 'names', redis.call('HLEN', names))
  redis.call('PUBLISH', ARGV[2], 'renamed')
end
return { state.epoch, seq }
