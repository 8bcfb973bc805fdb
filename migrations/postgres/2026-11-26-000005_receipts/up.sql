-- The answers that were given under idempotency keys, by the event that the key stands for. Rows are only ever inserted, at the end of an
-- index that is in the order of time, because event ids are UUID v7. The column idempotency_keys.receipt holds the answers of the release before
-- this one, which goes on filling it while both run.
CREATE TABLE receipts (
    event_id bytea PRIMARY KEY,
    body     text  NOT NULL
);
-- Each key paid for this index. Old keys are found by a walk through the table instead.
DROP INDEX idempotency_keys_by_age;
