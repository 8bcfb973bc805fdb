DROP INDEX score_events_for_cooldowns;
ALTER TABLE score_events DROP COLUMN limited;
CREATE INDEX score_events_for_cooldowns ON score_events (user_id, action_id, at DESC) WHERE position = 0;
