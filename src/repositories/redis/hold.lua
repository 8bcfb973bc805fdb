-- Whose ledger feeds this installation's rankings: a random token that only that ledger knows.
-- KEYS: holder.
-- ARGV: the token to put there, the one that is there ('' where there is none).
-- Returns 1, or 0 where another one is there.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
