CREATE INDEX score_events_of_a_user ON score_events (user_id, event_id DESC);
DROP INDEX score_events_of_a_user_by_leaderboard;
