-- The ledger on PostgreSQL. Times are microseconds since 1970 in UTC; ids that order a ranking are compared bytewise (COLLATE "C").
--
-- No table has a foreign key: each one would cost a lookup and a share lock (a multixact) for every row written. What belongs to a
-- leaderboard hangs on its pk, which is never given out twice, so rows that a deletion leaves behind belong to nobody and are swept later.

-- One row about this ledger itself.
CREATE TABLE installation (
    singleton            boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id                   text    NOT NULL,
    -- Grows with every change of any definition.
    definitions_revision bigint  NOT NULL DEFAULT 0,
    -- How many leaderboards were ever made: the default one is made only where this is 0.
    leaderboards_made    bigint  NOT NULL DEFAULT 0
);
INSERT INTO installation (id) VALUES (gen_random_uuid()::text);

CREATE TABLE leaderboards (
    pk             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text    NOT NULL COLLATE "C" UNIQUE,
    name           text    NOT NULL,
    description    text    NOT NULL,
    sort_order     text    NOT NULL CHECK (sort_order IN ('asc', 'desc')),
    operator       text    NOT NULL CHECK (operator IN ('sum', 'best', 'last')),
    unit           text    NOT NULL,
    visibility     text    NOT NULL CHECK (visibility IN ('public', 'private')),
    reset_schedule text,
    timezone       text    NOT NULL,
    frozen         boolean NOT NULL,
    season         bigint  NOT NULL,
    revision       bigint  NOT NULL,
    created_at     bigint  NOT NULL,
    updated_at     bigint  NOT NULL
);

CREATE TABLE actions (
    id                text    COLLATE "C" PRIMARY KEY,
    name              text    NOT NULL,
    -- Either fixed points, or bounds for the submission's value.
    points            bigint,
    value_min         bigint,
    value_max         bigint,
    cooldown_seconds  bigint  NOT NULL,
    limit_count       bigint,
    limit_per_seconds bigint,
    self_service      boolean NOT NULL,
    enabled           boolean NOT NULL,
    created_at        bigint  NOT NULL,
    updated_at        bigint  NOT NULL,
    CHECK ((points IS NULL) = (value_min IS NOT NULL AND value_max IS NOT NULL))
);

-- Refers to leaderboards by id on purpose: an action outlives a leaderboard that is made anew.
CREATE TABLE action_leaderboards (
    action_id      text   NOT NULL COLLATE "C",
    position       bigint NOT NULL,
    leaderboard_id text   NOT NULL COLLATE "C",
    PRIMARY KEY (action_id, position)
);

CREATE TABLE users (
    id           text   COLLATE "C" PRIMARY KEY,
    display_name text,
    avatar_url   text,
    country      text,
    metadata     text,
    -- Grows with every change of the profile; 0 for a user whom only a submission has named so far.
    revision     bigint NOT NULL,
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL
);

-- Every update changes the ranking index, so none is heap-only and a lower fillfactor would buy nothing; dead rows are cleaned early instead.
CREATE TABLE entries (
    leaderboard_pk bigint NOT NULL,
    season         bigint NOT NULL,
    score          bigint NOT NULL,
    -- The score turned so that ascending is best first, whatever the leaderboard's order.
    sort_score     bigint NOT NULL,
    reached_at     bigint NOT NULL,
    revision       bigint NOT NULL,
    user_id        text   NOT NULL COLLATE "C",
    PRIMARY KEY (leaderboard_pk, season, user_id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX entries_in_rank_order ON entries (leaderboard_pk, season, sort_score, reached_at, user_id);

-- The history, for ever: one row per accepted submission and leaderboard. Event ids are UUID v7, so rows arrive in the order of the key.
CREATE TABLE score_events (
    event_id       bytea   NOT NULL,
    -- The leaderboard's place among those that the action feeds; 0 leads and carries the metadata.
    position       bigint  NOT NULL,
    leaderboard_pk bigint  NOT NULL,
    season         bigint  NOT NULL,
    value          bigint,
    delta          bigint  NOT NULL,
    previous_score bigint,
    new_score      bigint  NOT NULL,
    -- The entry's revision after this event; unchanged where it was not applied.
    revision       bigint  NOT NULL,
    at             bigint  NOT NULL,
    applied        boolean NOT NULL,
    user_id        text    NOT NULL COLLATE "C",
    leaderboard_id text    NOT NULL COLLATE "C",
    action_id      text    NOT NULL COLLATE "C",
    subject        text    NOT NULL,
    metadata       text,
    PRIMARY KEY (event_id, position)
);
CREATE INDEX score_events_of_a_user ON score_events (user_id, event_id DESC);
CREATE INDEX score_events_for_cooldowns ON score_events (user_id, action_id, at DESC) WHERE position = 0;

CREATE TABLE idempotency_keys (
    event_id    bytea  NOT NULL,
    created_at  bigint NOT NULL,
    subject     text   NOT NULL COLLATE "C",
    key         text   NOT NULL COLLATE "C",
    fingerprint bytea  NOT NULL,
    receipt     text,
    PRIMARY KEY (subject, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Deleted leaderboards whose rows are still to be swept, entries first, then the history from `swept_to` on in the order of its key: a walk
-- through it once in a while costs less than one more index on every row of it.
CREATE TABLE deleted_leaderboards (
    pk       bigint PRIMARY KEY,
    swept_to bytea NOT NULL
);

-- What was committed and not yet told. A few rows at a time, each gone within seconds: vacuumed by count, and its payload is not
-- worth compressing.
CREATE TABLE outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at    bigint NOT NULL,
    claimed_until bigint NOT NULL DEFAULT 0,
    payload       text   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
