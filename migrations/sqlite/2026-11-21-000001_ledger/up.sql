-- The ledger on SQLite: the tables of migrations/postgres, word for word where the engine allows it. Times are microseconds since 1970
-- in UTC; text compares bytewise (SQLite's BINARY).
--
-- No table has a foreign key, as on PostgreSQL. What belongs to a leaderboard hangs on its pk, which is never given out twice, so rows
-- that a deletion leaves behind belong to nobody and are swept later.

-- One row about this ledger itself.
CREATE TABLE installation (
    singleton            integer PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    id                   text    NOT NULL,
    -- Grows with every change of any definition.
    definitions_revision integer NOT NULL DEFAULT 0,
    -- How many leaderboards were ever made: the default one is made only where this is 0.
    leaderboards_made    integer NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO installation (id) VALUES (lower(hex(randomblob(16))));

CREATE TABLE leaderboards (
    pk             integer PRIMARY KEY AUTOINCREMENT,
    id             text    NOT NULL UNIQUE,
    name           text    NOT NULL,
    description    text    NOT NULL,
    sort_order     text    NOT NULL CHECK (sort_order IN ('asc', 'desc')),
    operator       text    NOT NULL CHECK (operator IN ('sum', 'best', 'last')),
    unit           text    NOT NULL,
    visibility     text    NOT NULL CHECK (visibility IN ('public', 'private')),
    reset_schedule text,
    timezone       text    NOT NULL,
    frozen         integer NOT NULL,
    season         integer NOT NULL,
    revision       integer NOT NULL,
    created_at     integer NOT NULL,
    updated_at     integer NOT NULL
) STRICT;

CREATE TABLE actions (
    id                text    PRIMARY KEY,
    name              text    NOT NULL,
    -- Either fixed points, or bounds for the submission's value.
    points            integer,
    value_min         integer,
    value_max         integer,
    cooldown_seconds  integer NOT NULL,
    limit_count       integer,
    limit_per_seconds integer,
    self_service      integer NOT NULL,
    enabled           integer NOT NULL,
    created_at        integer NOT NULL,
    updated_at        integer NOT NULL,
    CHECK ((points IS NULL) = (value_min IS NOT NULL AND value_max IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Refers to leaderboards by id on purpose: an action outlives a leaderboard that is made anew.
CREATE TABLE action_leaderboards (
    action_id      text   NOT NULL,
    position       integer NOT NULL,
    leaderboard_id text   NOT NULL,
    PRIMARY KEY (action_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id           text   PRIMARY KEY,
    display_name text,
    avatar_url   text,
    country      text,
    metadata     text,
    -- Grows with every change of the profile; 0 for a user whom only a submission has named so far.
    revision     integer NOT NULL,
    created_at   integer NOT NULL,
    updated_at   integer NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    leaderboard_pk integer NOT NULL,
    season         integer NOT NULL,
    score          integer NOT NULL,
    -- The score turned so that ascending is best first, whatever the leaderboard's order.
    sort_score     integer NOT NULL,
    reached_at     integer NOT NULL,
    revision       integer NOT NULL,
    user_id        text   NOT NULL,
    PRIMARY KEY (leaderboard_pk, season, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_in_rank_order ON entries (leaderboard_pk, season, sort_score, reached_at, user_id);

-- The history, for ever: one row per accepted submission and leaderboard. Event ids are UUID v7, so rows arrive in the order of the key.
CREATE TABLE score_events (
    event_id       blob   NOT NULL,
    -- The leaderboard's place among those that the action feeds; 0 leads and carries the metadata.
    position       integer NOT NULL,
    leaderboard_pk integer NOT NULL,
    season         integer NOT NULL,
    value          integer,
    delta          integer NOT NULL,
    previous_score integer,
    new_score      integer NOT NULL,
    -- The entry's revision after this event; unchanged where it was not applied.
    revision       integer NOT NULL,
    at             integer NOT NULL,
    applied        integer NOT NULL,
    user_id        text    NOT NULL,
    leaderboard_id text    NOT NULL,
    action_id      text    NOT NULL,
    subject        text    NOT NULL,
    metadata       text,
    PRIMARY KEY (event_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX score_events_of_a_user ON score_events (user_id, event_id DESC);
CREATE INDEX score_events_for_cooldowns ON score_events (user_id, action_id, at DESC) WHERE position = 0;

CREATE TABLE idempotency_keys (
    event_id    blob  NOT NULL,
    created_at  integer NOT NULL,
    subject     text   NOT NULL,
    key         text   NOT NULL,
    fingerprint blob  NOT NULL,
    receipt     text,
    PRIMARY KEY (subject, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Deleted leaderboards whose rows are still to be swept, entries first, then the history from `swept_to` on in the order of its key: a walk
-- through it once in a while costs less than one more index on every row of it.
CREATE TABLE deleted_leaderboards (
    pk       integer PRIMARY KEY,
    swept_to blob NOT NULL
) STRICT;

-- What was committed and not yet told. A few rows at a time, each gone within seconds.
CREATE TABLE outbox (
    id            integer PRIMARY KEY AUTOINCREMENT,
    created_at    integer NOT NULL,
    claimed_until integer NOT NULL DEFAULT 0,
    payload       text   NOT NULL
) STRICT;
