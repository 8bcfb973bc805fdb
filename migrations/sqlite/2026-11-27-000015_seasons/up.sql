-- Seasons; see migrations/postgres.
CREATE TABLE seasons (
    leaderboard_pk integer NOT NULL,
    season         integer NOT NULL,
    name           text,
    cause          text    NOT NULL,
    starts_at      integer NOT NULL,
    ends_at        integer,
    sort_order     text,
    operator       text,
    bounds_min     integer,
    bounds_max     integer,
    on_exceed      text,
    skipped        integer NOT NULL DEFAULT 0,
    corrections    integer NOT NULL DEFAULT 0,
    total          integer,
    digest         text,
    finalized_at   integer,
    revised_at     integer,
    PRIMARY KEY (leaderboard_pk, season)
) STRICT, WITHOUT ROWID;
INSERT INTO seasons (leaderboard_pk, season, cause, starts_at) SELECT pk, season, 'created', created_at FROM leaderboards;

CREATE TABLE season_marks (
    leaderboard_pk integer NOT NULL,
    season         integer NOT NULL,
    number         integer NOT NULL,
    ahead          integer NOT NULL,
    sort_score     integer NOT NULL,
    reached_at     integer NOT NULL,
    user_id        text    NOT NULL,
    PRIMARY KEY (leaderboard_pk, season, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX season_marks_by_key ON season_marks (leaderboard_pk, season, sort_score, reached_at, user_id);
CREATE INDEX season_marks_by_count ON season_marks (leaderboard_pk, season, ahead);

ALTER TABLE leaderboards ADD COLUMN bounds_min integer;
ALTER TABLE leaderboards ADD COLUMN bounds_max integer;
ALTER TABLE leaderboards ADD COLUMN on_exceed text;
ALTER TABLE leaderboards ADD COLUMN season_starts_at integer;
ALTER TABLE leaderboards ADD COLUMN next_boundary_at integer;
CREATE INDEX leaderboards_by_boundary ON leaderboards (next_boundary_at) WHERE next_boundary_at IS NOT NULL;

ALTER TABLE score_events ADD COLUMN points integer;
