-- The receipts of a commit together, some to a row, packed and compressed (repositories/ledger/receipts.rs), under the id of their first event:
-- a UUID v7, so rows are only ever inserted at the end. A row without receipts is sealed: its receipts are stored one by one in the table
-- `receipts`, as earlier releases store all of theirs.
CREATE TABLE receipt_batches (
    id       blob PRIMARY KEY,
    receipts blob
) STRICT, WITHOUT ROWID;
-- Where the receipt of a key is; NULL where an earlier release wrote the key.
ALTER TABLE idempotency_keys ADD COLUMN receipt_batch blob;
