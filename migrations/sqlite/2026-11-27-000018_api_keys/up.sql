-- Keys of game backends, and which revisions of the definitions changed one; see migrations/postgres.
CREATE TABLE api_keys (
    id              text    NOT NULL PRIMARY KEY,
    name            text    NOT NULL,
    scopes          text    NOT NULL,
    leaderboards    text,
    expires_at      integer,
    per_second      integer,
    burst           integer,
    secret          blob    NOT NULL,
    former_secret   blob,
    former_until    integer,
    created_at      integer NOT NULL,
    last_used_at    integer
) STRICT, WITHOUT ROWID;
CREATE TABLE api_key_changes (
    revision integer NOT NULL,
    stamp    integer NOT NULL,
    id       text    NOT NULL,
    PRIMARY KEY (revision, id)
) STRICT, WITHOUT ROWID;
