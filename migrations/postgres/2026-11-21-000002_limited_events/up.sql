-- Only events that a cooldown or a limit counts are in the index that cooldowns are looked up by: most actions have neither, and an index
-- on every row of the history is paid for by every score. An event made before this column counts as it always did.
ALTER TABLE score_events ADD COLUMN limited boolean NOT NULL DEFAULT true;
ALTER TABLE score_events ALTER COLUMN limited DROP DEFAULT;
DROP INDEX score_events_for_cooldowns;
CREATE INDEX score_events_for_cooldowns ON score_events (user_id, action_id, at DESC) WHERE position = 0 AND limited;
