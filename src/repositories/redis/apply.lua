-- Applies changes of one board in order, as one step. Follows the preludes `ready` and `tell`.
-- KEYS: meta, places, entries, names, stream.
-- ARGV: season, channel, history; then for each change: user, revision, sort score ('' where the entry leaves the ranking), time reached
--       (14 hex digits), name revision ('' where there is no name worth keeping), name record, event body ('' where nobody is told: then only
--       the revision of an entry that is in no ranking is taken, which is answered like a change that is known).
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, then for each change: what became of it, seq, rank, previous rank (0: none),
-- total}, a rank of 0 being none, what became of it being 0 early, 1 known (the previous rank of both tells the revision held), 2 ranked, 3 in conflict: this very
-- revision is held with another score or time, so another ledger than the caller's has fed this ranking.
--
-- Scores and times are texts from beginning to end: Lua's numbers would print them in 14 digits. Nothing is written before the first
-- change that is taken, and a repeated call finds its changes known.
local state, other = ready(ARGV[1])
if not state then
  return other
end
local places, entries, names = KEYS[2], KEYS[3], KEYS[4]
local seq, n = state.seq, state.n
local answer = { state.epoch }
-- The revision of a removed entry is stored among the names, with a prefix that no user id contains: the next change follows it.
local some_left = state.names > 0
-- The published events, in pieces: Lua would hash every intermediate text, and `tell` concatenates the pieces once.
local pieces, size = { '' }, 1
local taken = false

local function keep_name(user, revision, record)
  local held = redis.call('HGET', names, user)
  if not held or tonumber(string.match(held, '^%d+')) < tonumber(revision) then
    redis.call('HSET', names, user, record)
  end
end

local function answered(what, rank, previous)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4], answer[at + 5] = what, seq, rank, previous, n
end

for i = 4, #ARGV, 7 do
  local user, revision, score, time = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local held = redis.call('HGET', entries, user)
  local left = not held and some_left and redis.call('HGET', names, '\2' .. user)
  local have = tonumber(held and string.match(held, '^%d+') or left or 0)
  local old = held and string.sub(held, -14) .. user
  local wanted = tonumber(revision)
  if wanted > have + 1 then
    answered(0, 0, have)
  elseif wanted <= have then
    if wanted == have and (held and held ~= revision .. ':' .. score .. ':' .. time or left and score ~= '') then
      answered(3, 0, 0)
    else
      answered(1, held and redis.call('ZRANK', places, old) + 1 or 0, have)
    end
  else
    local new, previous, rank = time .. user, 0, 0
    if held then
      previous = redis.call('ZRANK', places, old) + 1
      if old ~= new or score == '' then
        redis.call('ZREM', places, old)
      end
    elseif left then
      redis.call('HDEL', names, '\2' .. user)
    end
    if score == '' then
      redis.call('HDEL', entries, user)
      redis.call('HSET', names, '\2' .. user, revision)
      some_left = true
    else
      redis.call('ZADD', places, score, new)
      redis.call('HSET', entries, user, revision .. ':' .. score .. ':' .. time)
      rank = redis.call('ZRANK', places, new) + 1
    end
    n = n + (rank > 0 and 1 or 0) - (held and 1 or 0)
    taken = true
    if ARGV[i + 4] ~= '' then
      keep_name(user, ARGV[i + 4], ARGV[i + 5])
    end
    if ARGV[i + 6] == '' then
      answered(1, 0, wanted)
    else
      seq = seq + 1
      pieces[size + 1], pieces[size + 2], pieces[size + 3], pieces[size + 4] = '\nS ', seq, ' ', rank
      pieces[size + 5], pieces[size + 6], pieces[size + 7], pieces[size + 8] = ' ', previous, ' ', n
      pieces[size + 9], pieces[size + 10] = ' ', ARGV[i + 6]
      size = size + 10
      answered(2, rank, previous)
    end
  end
end

if taken then
  redis.call('HSET', KEYS[1], 'seq', seq, 'n', n, 'names', redis.call('HLEN', names))
end
if size > 1 then
  tell(ARGV[2], state.epoch, seq, tonumber(ARGV[3]), pieces)
end
return answer
