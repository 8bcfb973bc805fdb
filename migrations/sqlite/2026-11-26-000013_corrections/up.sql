-- What changed entries beside scores; see migrations/postgres.
CREATE TABLE corrections (
    event_id       blob    PRIMARY KEY,
    leaderboard_pk integer NOT NULL,
    season         integer NOT NULL,
    user_id        text    NOT NULL,
    revision       integer NOT NULL,
    previous_score integer,
    new_score      integer,
    at             integer NOT NULL,
    cause          text    NOT NULL,
    subject        text    NOT NULL,
    UNIQUE (leaderboard_pk, season, user_id, revision)
) STRICT, WITHOUT ROWID;
