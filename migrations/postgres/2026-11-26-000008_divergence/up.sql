-- What tells a ledger from its copies and from its own past. The previous release knows none of it and goes on beside this one.

-- How often a row could not be announced although the ranking answered: each time it waits longer.
ALTER TABLE outbox ADD COLUMN attempts bigint NOT NULL DEFAULT 0;

-- Where this ledger was when it got its id (the database of a cluster). Elsewhere it is a copy, and needs an id of its own.
ALTER TABLE installation ADD COLUMN home text;

-- Random tokens that were put into the ranking's store, one after the other. Whoever finds another one there knows that another ledger feeds
-- the same rankings, or that this one has been set back.
CREATE TABLE ranking_claims (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token    text   NOT NULL COLLATE "C" UNIQUE,
    -- The timeline of the write-ahead log, which changes with every recovery to a point in time and every promotion of a replica.
    timeline text   NOT NULL
);
