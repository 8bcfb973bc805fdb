-- The release that brought the schema to where it is: an older one that does not know it all names this one.
ALTER TABLE installation ADD COLUMN migrated_by text;
