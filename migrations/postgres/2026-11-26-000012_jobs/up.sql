-- Work that is done later, whatever dies meanwhile (workers/jobs.rs). The previous release knows none of it.
CREATE TABLE jobs (
    id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What kind of work. Jobs of a queue that a release does not know wait for one that does.
    queue      text    NOT NULL COLLATE "C",
    -- What it is about: a queue has one job for each key.
    key        text    NOT NULL COLLATE "C",
    -- JSON: what the work needs to know, and how far it has come.
    payload    text    NOT NULL,
    -- When this row was written last. Where that is still to come, its writer's clock was wrong, and so is the time at which it is due.
    noted_at   bigint  NOT NULL,
    -- When it is to be run. While it runs: when its lease lapses, and it may be run again.
    due_at     bigint  NOT NULL,
    -- Whose run it is: a random number for each, 0 while nobody runs it.
    lease      bigint  NOT NULL DEFAULT 0,
    -- How often it has failed since it last went on.
    attempts   bigint  NOT NULL DEFAULT 0,
    last_error text,
    -- It has failed too often, and waits for somebody to look at it: UPDATE jobs SET dead = false, attempts = 0, due_at = 0 runs it again.
    dead       boolean NOT NULL DEFAULT false,
    UNIQUE (queue, key)
);
CREATE INDEX jobs_due ON jobs (due_at) WHERE NOT dead;
