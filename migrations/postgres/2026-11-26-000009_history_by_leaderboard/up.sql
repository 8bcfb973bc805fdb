-- A user's history is read leaderboard by leaderboard: whoever may see one leaderboard's events passes over no row of the others, however
-- many those are. It takes the place of the index by user and event, so that a score pays for as many indexes as before. The previous
-- release finds a user's events by its first column, and sorts them.
CREATE INDEX score_events_of_a_user_by_leaderboard ON score_events (user_id, leaderboard_pk, event_id);
DROP INDEX score_events_of_a_user;
