DROP TABLE action_uses;
