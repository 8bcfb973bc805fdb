-- When users used actions that have a cooldown or a limit. Until now that stood in the history alone, whose rows go with their leaderboard.
-- No cooldown or limit reaches back further than a year.
CREATE TABLE action_uses (
    user_id   text    NOT NULL,
    action_id text    NOT NULL,
    at        integer NOT NULL,
    event_id  blob    NOT NULL,
    PRIMARY KEY (user_id, action_id, at, event_id)
) STRICT, WITHOUT ROWID;
INSERT INTO action_uses (user_id, action_id, at, event_id)
SELECT user_id, action_id, at, event_id FROM score_events
WHERE position = 0 AND limited AND at > (unixepoch() - 366 * 86400) * 1000000;
