-- The display name that a withheld score brings: whoever has none gets it with the approval. NULL: none; the previous release keeps none.
ALTER TABLE reviews ADD COLUMN display_name text;
