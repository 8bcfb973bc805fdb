-- What is packed cannot be unpacked here: repeats of keys of the last day are answered without ranks from then on.
ALTER TABLE idempotency_keys DROP COLUMN receipt_batch;
DROP TABLE receipt_batches;
