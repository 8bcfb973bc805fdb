-- On abs(), which changes nothing about a positive number: for a planner that has no statistics yet, the plain columns would make this index
-- look as good as the primary key for looking up one user, and it would pass the whole leaderboard for each.
DROP INDEX entries_in_rank_order;
CREATE INDEX entries_in_rank_order ON entries (abs(leaderboard_pk), abs(season), sort_score, reached_at, user_id);
