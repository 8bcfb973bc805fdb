-- Fair play: submissions that wait for a moderator, and runs. The previous release knows none of it: it counts what should wait, and asks nobody for
-- a run token. So no action gets such a rule before that release is gone.

-- JSON, each. NULL: none.
ALTER TABLE actions ADD COLUMN review text;
ALTER TABLE actions ADD COLUMN run text;

-- Score events that tripped a rule: a row for each row of the history, so that one is left wherever the event is. What is not approved is withheld, too, by a
-- row of withheld_events in which the event's own id stands in the place of a decision.
CREATE TABLE reviews (
    event_id       bytea  NOT NULL,
    position       bigint NOT NULL,
    leaderboard_pk bigint NOT NULL,
    season         bigint NOT NULL,
    user_id        text   NOT NULL COLLATE "C",
    -- 'pending', 'approved', 'rejected'; the same in all rows of an event, as all below.
    state          text   NOT NULL,
    -- What it tripped, JSON.
    tripped        text   NOT NULL,
    -- The last verdict: why, by whose credential, when. NULL: there was none.
    reason         text,
    subject        text   COLLATE "C",
    judged_at      bigint,
    PRIMARY KEY (event_id, position)
);
-- For the lists of moderators, of all leaderboards and of one.
CREATE INDEX reviews_by_state ON reviews (state, event_id);
CREATE INDEX reviews_of_a_leaderboard ON reviews (leaderboard_pk, state, event_id);
-- For users who ask for their own.
CREATE INDEX reviews_of_a_user ON reviews (user_id, leaderboard_pk, season, event_id);
