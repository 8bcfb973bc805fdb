ALTER TABLE reviews DROP COLUMN display_name;
