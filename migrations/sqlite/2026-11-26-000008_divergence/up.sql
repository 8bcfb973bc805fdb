-- What tells a ledger from its copies and from its own past; see migrations/postgres.

ALTER TABLE outbox ADD COLUMN attempts integer NOT NULL DEFAULT 0;

ALTER TABLE installation ADD COLUMN home text;

CREATE TABLE ranking_claims (
    id       integer PRIMARY KEY AUTOINCREMENT,
    token    text    NOT NULL UNIQUE,
    timeline text    NOT NULL
) STRICT;
