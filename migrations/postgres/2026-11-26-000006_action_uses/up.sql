-- When users used actions that have a cooldown or a limit. Until now that stood in the history alone, whose rows go with their leaderboard; the
-- release before this one goes on reading it there while both run. No cooldown or limit reaches back further than a year.
CREATE TABLE action_uses (
    user_id   text   NOT NULL COLLATE "C",
    action_id text   NOT NULL COLLATE "C",
    at        bigint NOT NULL,
    event_id  bytea  NOT NULL,
    PRIMARY KEY (user_id, action_id, at, event_id)
);
INSERT INTO action_uses (user_id, action_id, at, event_id)
SELECT user_id, action_id, at, event_id FROM score_events
WHERE position = 0 AND limited AND at > (extract(epoch FROM now())::bigint - 366 * 86400) * 1000000;
