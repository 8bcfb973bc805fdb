-- Consecutive rows of a ranking. Follows the preludes `ready` and `rows`.
-- KEYS: meta, places, entries, names.
-- ARGV: season, first place, last place (zero-based, both included; nothing where the last is the smaller), '1' for details.
-- Returns false where the ranking is not ready, its season where that is a later one, else {epoch, seq, total, rows}; see `rows`.
local state, other = ready(ARGV[1])
if not state then
  return other
end
local from, to = tonumber(ARGV[2]), tonumber(ARGV[3])
local found = from <= to and rows(state, ARGV[2], ARGV[3], ARGV[4] == '1') or { '', false, false }
return { state.epoch, state.seq, state.n, found }
