-- What users are found by; see migrations/postgres.
CREATE TABLE user_search (
    user_id text NOT NULL,
    folded  text NOT NULL,
    PRIMARY KEY (user_id, folded)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_search_by_text ON user_search (folded, user_id);
