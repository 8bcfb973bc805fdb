ALTER TABLE installation DROP COLUMN migrated_by;
