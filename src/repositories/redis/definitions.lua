-- The newest announced revision of the definitions, over all leaderboards and actions.
-- KEYS: definitions.
-- ARGV: nothing to only query it; else channel, revision, message, '1' if the message says what has changed: it is then published even
--       if another instance has announced the number alone before.
-- Returns the newest revision, or 0.
local held = tonumber(redis.call('GET', KEYS[1]) or '0')
if not ARGV[2] then
  return held
end
local revision = tonumber(ARGV[2])
if revision > held then
  redis.call('SET', KEYS[1], ARGV[2])
end
if revision > held or ARGV[4] == '1' then
  redis.call('PUBLISH', ARGV[1], ARGV[3])
end
return math.max(held, revision)
