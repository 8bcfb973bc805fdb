-- Work that is done later, whatever dies meanwhile; see migrations/postgres.
CREATE TABLE jobs (
    id         integer PRIMARY KEY AUTOINCREMENT,
    queue      text    NOT NULL,
    key        text    NOT NULL,
    payload    text    NOT NULL,
    noted_at   integer NOT NULL,
    due_at     integer NOT NULL,
    lease      integer NOT NULL DEFAULT 0,
    attempts   integer NOT NULL DEFAULT 0,
    last_error text,
    dead       integer NOT NULL DEFAULT 0,
    UNIQUE (queue, key)
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at) WHERE NOT dead;
