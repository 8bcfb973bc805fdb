-- The newest epoch that a ranking of this leaderboard was given. It only grows, whatever the clocks say and whatever Redis forgot.
ALTER TABLE leaderboards ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
