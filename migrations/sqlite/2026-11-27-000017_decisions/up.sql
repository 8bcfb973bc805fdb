-- Decisions of moderators; see migrations/postgres.
CREATE TABLE decisions (
    seq      integer PRIMARY KEY AUTOINCREMENT,
    id       blob    NOT NULL UNIQUE,
    type     text    NOT NULL,
    reason   text    NOT NULL,
    subject  text    NOT NULL,
    at       integer NOT NULL,
    until    integer,
    ended_at integer,
    request  text    NOT NULL,
    undo     text,
    entries  text    NOT NULL
) STRICT;

CREATE TABLE decision_users (
    user_id     text NOT NULL,
    decision_id blob NOT NULL,
    PRIMARY KEY (user_id, decision_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_users_by_decision ON decision_users (decision_id);

CREATE TABLE sanctions (
    decision_id    blob    PRIMARY KEY NOT NULL,
    user_id        text    NOT NULL,
    leaderboard_pk integer,
    hides          integer NOT NULL,
    bans           integer NOT NULL,
    until          integer
) STRICT, WITHOUT ROWID;
CREATE INDEX sanctions_of_a_user ON sanctions (user_id);

CREATE TABLE withheld_events (
    event_id    blob NOT NULL,
    decision_id blob NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (event_id, decision_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX withheld_events_by_decision ON withheld_events (decision_id);

CREATE TABLE silent_events (
    event_id       blob    NOT NULL,
    leaderboard_pk integer NOT NULL,
    PRIMARY KEY (event_id, leaderboard_pk)
) STRICT, WITHOUT ROWID;

ALTER TABLE users ADD COLUMN sanctioned integer NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN name_locked integer NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN hidden integer NOT NULL DEFAULT 0;
ALTER TABLE corrections ADD COLUMN silent integer NOT NULL DEFAULT 0;
ALTER TABLE score_events ADD COLUMN kind text;
ALTER TABLE seasons ADD COLUMN archived integer NOT NULL DEFAULT 0;
