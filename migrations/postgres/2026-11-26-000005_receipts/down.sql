UPDATE idempotency_keys k SET receipt = r.body FROM receipts r WHERE r.event_id = k.event_id AND k.receipt IS NULL;
DROP TABLE receipts;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
