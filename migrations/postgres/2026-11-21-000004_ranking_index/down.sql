DROP INDEX entries_in_rank_order;
CREATE INDEX entries_in_rank_order ON entries (leaderboard_pk, season, sort_score, reached_at, user_id);
