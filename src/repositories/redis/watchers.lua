-- How many watchers all live instances have on a board.
-- KEYS: watchers.
-- ARGV: nothing to only query it; else instance, its number of watchers (0 removes the record), for how long the record counts (ms).
-- Returns the sum. The time is the server's, so that records expire alike for instances whose clocks disagree.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] then
  if ARGV[2] == '0' then
    redis.call('HDEL', KEYS[1], ARGV[1])
  else
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. string.format('%.0f', now + ARGV[3]))
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
end
local notes, sum = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #notes, 2 do
  local count, expires = string.match(notes[i + 1], '^(%d+):(%d+)$')
  if tonumber(expires) > now then
    sum = sum + tonumber(count)
  elseif ARGV[1] then
    redis.call('HDEL', KEYS[1], notes[i])
  end
end
return sum
