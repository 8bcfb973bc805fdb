-- The answers that were given under idempotency keys, by the event that the key stands for. Rows are only ever inserted, at the end of a
-- table that is in the order of time, because event ids are UUID v7. The column idempotency_keys.receipt holds the answers of earlier releases.
CREATE TABLE receipts (
    event_id blob PRIMARY KEY,
    body     text NOT NULL
) STRICT, WITHOUT ROWID;
-- Each key paid for this index. Old keys are found by a walk through the table instead.
DROP INDEX idempotency_keys_by_age;
