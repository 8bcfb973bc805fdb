-- Seasons. The previous release goes on beside this one: it commits to the season that leaderboards.season names, and knows no boundary, so none
-- is scheduled before it is gone. It makes leaderboards without a row in `seasons`: then the first season is that of their creation.
CREATE TABLE seasons (
    leaderboard_pk bigint NOT NULL,
    season         bigint NOT NULL,
    name           text,
    -- Why it began: 'created', 'schedule', 'manual'.
    cause          text   NOT NULL,
    -- Microseconds. It contains its first moment, and not its last.
    starts_at      bigint NOT NULL,
    -- NULL while it is the current one.
    ends_at        bigint,
    -- The rules at its end. NULL while it is the current one, whose rules are its leaderboard's.
    sort_order     text,
    operator       text,
    bounds_min     bigint,
    bounds_max     bigint,
    on_exceed      text,
    -- How many scheduled seasons before it were left out, because nothing ran.
    skipped        bigint NOT NULL DEFAULT 0,
    -- Corrections since it ended.
    corrections    bigint NOT NULL DEFAULT 0,
    -- What is known once all of it has been read after its end.
    total          bigint,
    digest         text,
    finalized_at   bigint,
    revised_at     bigint,
    PRIMARY KEY (leaderboard_pk, season)
);
INSERT INTO seasons (leaderboard_pk, season, cause, starts_at) SELECT pk, season, 'created', created_at FROM leaderboards;

-- Every so many entries of an ended season the key of one in ranking order, and how many come before it: whoever looks for a rank, or for the rank of
-- a user, counts from the nearest one.
CREATE TABLE season_marks (
    leaderboard_pk bigint NOT NULL,
    season         bigint NOT NULL,
    number         bigint NOT NULL,
    ahead          bigint NOT NULL,
    sort_score     bigint NOT NULL,
    reached_at     bigint NOT NULL,
    user_id        text   NOT NULL COLLATE "C",
    PRIMARY KEY (leaderboard_pk, season, number)
);

CREATE INDEX season_marks_by_key ON season_marks (leaderboard_pk, season, sort_score, reached_at, user_id);
CREATE INDEX season_marks_by_count ON season_marks (leaderboard_pk, season, ahead);

ALTER TABLE leaderboards ADD COLUMN bounds_min bigint;
ALTER TABLE leaderboards ADD COLUMN bounds_max bigint;
-- 'refuse' or 'clamp'.
ALTER TABLE leaderboards ADD COLUMN on_exceed text;
-- When the current season began; NULL: with the leaderboard.
ALTER TABLE leaderboards ADD COLUMN season_starts_at bigint;
-- When it ends by the schedule.
ALTER TABLE leaderboards ADD COLUMN next_boundary_at bigint;
CREATE INDEX leaderboards_by_boundary ON leaderboards (next_boundary_at) WHERE next_boundary_at IS NOT NULL;

-- The points of a submission, where neither its value nor its effect tells them: without them an entry could not be computed again from its history.
ALTER TABLE score_events ADD COLUMN points bigint;
