ALTER TABLE leaderboards DROP COLUMN epoch;
