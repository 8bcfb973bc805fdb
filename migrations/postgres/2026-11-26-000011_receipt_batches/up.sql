-- The receipts of a commit together, some to a row, packed and compressed (repositories/ledger/receipts.rs), under the id of their first event:
-- a UUID v7, so rows are only ever inserted at the end. A row without receipts is sealed: its receipts are stored one by one in the table
-- `receipts`, as earlier releases store all of theirs. Compressed already, and small enough to stay in the row.
CREATE TABLE receipt_batches (
    id       bytea PRIMARY KEY,
    receipts bytea
) WITH (toast_tuple_target = 8160);
ALTER TABLE receipt_batches ALTER COLUMN receipts SET STORAGE EXTERNAL;
-- Where the receipt of a key is; NULL where an earlier release wrote the key.
ALTER TABLE idempotency_keys ADD COLUMN receipt_batch bytea;
