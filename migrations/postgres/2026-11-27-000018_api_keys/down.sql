DROP TABLE api_key_changes;
DROP TABLE api_keys;
