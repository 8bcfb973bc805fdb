-- Decisions of moderators, and what they make invisible. The previous release knows none of it: in its eyes a hidden entry was taken out, and the next score
-- of its user begins anew. So nothing is decided before that release is gone.

-- Decisions, for ever; those that were taken back or have lapsed as well.
CREATE TABLE decisions (
    -- A UUID v7 of its time, or one made from subject, key and place in the request, where an idempotency key came with it.
    id             bytea  PRIMARY KEY,
    -- A number that grows, for lists.
    seq            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    -- 'hide', 'ban', 'void', 'adjust', 'rename', 'erase'.
    type           text   NOT NULL,
    reason         text   NOT NULL,
    -- Whose credential it was.
    subject        text   NOT NULL COLLATE "C",
    at             bigint NOT NULL,
    -- NULL: it has no end of its own.
    until          bigint,
    -- When it was taken back or lapsed. NULL: it has not.
    ended_at       bigint,
    -- What was asked for, JSON.
    request        text   NOT NULL,
    -- What only the ledger needs to know of it, to take it back; JSON.
    undo           text,
    -- The entries that it changed, JSON.
    entries        text   NOT NULL
);

-- The users that a decision concerns.
CREATE TABLE decision_users (
    user_id     text  NOT NULL COLLATE "C",
    decision_id bytea NOT NULL,
    PRIMARY KEY (user_id, decision_id)
);
CREATE INDEX decision_users_by_decision ON decision_users (decision_id);

-- What is in force against users: a row per decision that hides or bans, until it ends.
CREATE TABLE sanctions (
    decision_id    bytea   PRIMARY KEY,
    user_id        text    NOT NULL COLLATE "C",
    -- NULL: all leaderboards.
    leaderboard_pk bigint,
    hides          boolean NOT NULL,
    bans           boolean NOT NULL,
    until          bigint
);
CREATE INDEX sanctions_of_a_user ON sanctions (user_id);

-- Score events that do not count, each with every decision that withholds it.
CREATE TABLE withheld_events (
    event_id    bytea NOT NULL,
    decision_id bytea NOT NULL,
    -- 'voided'.
    reason      text  NOT NULL,
    PRIMARY KEY (event_id, decision_id)
);
CREATE INDEX withheld_events_by_decision ON withheld_events (decision_id);

-- Score events of entries that were hidden then: their rankings took the revision, and nobody was told.
CREATE TABLE silent_events (
    event_id       bytea  NOT NULL,
    leaderboard_pk bigint NOT NULL,
    PRIMARY KEY (event_id, leaderboard_pk)
);

-- Whether there are sanctions against the user, so that a commit asks only for those of few.
ALTER TABLE users ADD COLUMN sanctioned boolean NOT NULL DEFAULT false;
-- Whether a moderator has set the name, and nobody else may.
ALTER TABLE users ADD COLUMN name_locked boolean NOT NULL DEFAULT false;
-- Whether the entry has a score and is in no ranking: its sort score is that of one which was taken out.
ALTER TABLE entries ADD COLUMN hidden boolean NOT NULL DEFAULT false;
-- Whether it moved nobody that anybody sees.
ALTER TABLE corrections ADD COLUMN silent boolean NOT NULL DEFAULT false;
-- NULL: a submission. 'add', 'set': an adjustment, which adds its points or sets the score to them.
ALTER TABLE score_events ADD COLUMN kind text;
-- How many of the corrections total, digest and marks take into account.
ALTER TABLE seasons ADD COLUMN archived bigint NOT NULL DEFAULT 0;
