-- Fair play: submissions that wait for a moderator, and runs; see migrations/postgres.
ALTER TABLE actions ADD COLUMN review text;
ALTER TABLE actions ADD COLUMN run text;

CREATE TABLE reviews (
    event_id       blob    NOT NULL,
    position       integer NOT NULL,
    leaderboard_pk integer NOT NULL,
    season         integer NOT NULL,
    user_id        text    NOT NULL,
    state          text    NOT NULL,
    tripped        text    NOT NULL,
    reason         text,
    subject        text,
    judged_at      integer,
    PRIMARY KEY (event_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX reviews_by_state ON reviews (state, event_id);
CREATE INDEX reviews_of_a_leaderboard ON reviews (leaderboard_pk, state, event_id);
CREATE INDEX reviews_of_a_user ON reviews (user_id, leaderboard_pk, season, event_id);
