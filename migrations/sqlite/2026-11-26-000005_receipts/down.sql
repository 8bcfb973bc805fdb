UPDATE idempotency_keys SET receipt = (SELECT body FROM receipts WHERE receipts.event_id = idempotency_keys.event_id)
WHERE receipt IS NULL;
DROP TABLE receipts;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
