ALTER TABLE score_events DROP COLUMN points;
DROP INDEX leaderboards_by_boundary;
ALTER TABLE leaderboards DROP COLUMN next_boundary_at;
ALTER TABLE leaderboards DROP COLUMN season_starts_at;
ALTER TABLE leaderboards DROP COLUMN on_exceed;
ALTER TABLE leaderboards DROP COLUMN bounds_max;
ALTER TABLE leaderboards DROP COLUMN bounds_min;
DROP TABLE season_marks;
DROP TABLE seasons;
