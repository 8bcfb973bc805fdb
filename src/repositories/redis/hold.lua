-- Which ledger feeds this installation's rankings: a random token that only that ledger knows.
-- KEYS: holder.
-- ARGV: the token to put there, the one that is there ('' if there is none), channel.
-- Returns how many subscribers of this server were notified, or false if another token is there.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then
  return false
end
redis.call('SET', KEYS[1], ARGV[1])
return redis.call('PUBLISH', ARGV[3], 'holder')
