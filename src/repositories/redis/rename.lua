-- Takes a display name that is newer than the one held. Behind `ready`.
-- KEYS: meta, places, entries, names.
-- ARGV: season, channel, user, name revision, name record ('' where it is not worth keeping).
-- Returns false where the ranking is not ready, else {epoch, seq}.
--
-- A user without an entry is renamed too: the entry may be on its way, settled while the old name was still in force.
local state = ready(ARGV[1])
if not state then
  return false
end
local held = redis.call('HGET', KEYS[4], ARGV[3])
if ARGV[5] ~= '' and not (held and tonumber(string.match(held, '^%d+')) >= tonumber(ARGV[4])) then
  redis.call('HSET', KEYS[4], ARGV[3], ARGV[5])
  redis.call('HSET', KEYS[1], 'names', redis.call('HLEN', KEYS[4]))
  redis.call('PUBLISH', ARGV[2], 'renamed')
end
return { state.epoch, state.seq }
