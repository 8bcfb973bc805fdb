-- What users are found by: display names, and ids that folding changes (src/domain/search.rs). The previous release writes none: a
-- standing job adds what it left out, and removes what it left behind. There may be more than one row of a user.
CREATE TABLE user_search (
    user_id text COLLATE "C" NOT NULL,
    -- Lower case, as Rust folds it: no collation of a database is asked.
    folded  text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, folded)
);
CREATE INDEX user_search_by_text ON user_search (folded, user_id);
