DROP TABLE ranking_claims;
ALTER TABLE installation DROP COLUMN home;
ALTER TABLE outbox DROP COLUMN attempts;
