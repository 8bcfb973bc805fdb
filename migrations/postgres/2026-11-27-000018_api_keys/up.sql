-- Keys of game backends, beside JWTs. The previous release knows none: it refuses them as tokens that it cannot read.
CREATE TABLE api_keys (
    -- Ten characters of base 62, part of the key itself.
    id              text   PRIMARY KEY COLLATE "C",
    name            text   NOT NULL,
    -- Names of scopes, separated by spaces.
    scopes          text   NOT NULL,
    -- Ids of the only leaderboards that it may do more with than everybody may, separated by spaces. NULL: all.
    leaderboards    text,
    -- Times in microseconds since 1970. NULL: it never expires.
    expires_at      bigint,
    -- Requests a second in the long run, and at once. NULL: as everybody else.
    per_second      bigint,
    burst           bigint,
    -- SHA-256 of the secret, and of the one before the last rotation, which is good until then.
    secret          bytea  NOT NULL,
    former_secret   bytea,
    former_until    bigint,
    created_at      bigint NOT NULL,
    -- To the minute, written every few seconds.
    last_used_at    bigint
);
-- Which revisions of the definitions changed a key, as definition_changes says for leaderboards and actions. A table of its own: the previous release
-- takes whatever is in the other one for an action, and a revision without a row there for a reason to read everything.
CREATE TABLE api_key_changes (
    revision bigint NOT NULL,
    stamp    bigint NOT NULL,
    id       text   NOT NULL COLLATE "C",
    PRIMARY KEY (revision, id)
);
