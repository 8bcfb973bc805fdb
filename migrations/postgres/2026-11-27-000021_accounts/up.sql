-- Accounts of players, moderators and administrators, for games without a backend (docs/adr/0028). The previous release knows none of it. No column
-- holds a password, a token or a link: what somebody shows is looked up by its SHA-256, or compared with an Argon2id hash.
CREATE TABLE accounts (
    -- The id of the user whose scores the account submits: always a new one.
    id          text    COLLATE "C" PRIMARY KEY,
    -- In lower case; null while only a device or another provider signs in to it.
    login       text    COLLATE "C" UNIQUE,
    -- Argon2id in the PHC format; null where nobody has chosen a password yet.
    password    text,
    -- SHA-256 of the secret that a guest's device holds.
    device_hash bytea   UNIQUE,
    -- Names of roles, separated by spaces.
    roles       text    NOT NULL,
    disabled    boolean NOT NULL DEFAULT false,
    -- When somebody last asked for a message with a link to choose a password by.
    asked_at    bigint,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL
);

-- Who a provider says somebody is: never the e-mail, which may change hands.
CREATE TABLE account_identities (
    issuer     text   COLLATE "C" NOT NULL,
    subject    text   COLLATE "C" NOT NULL,
    account_id text   COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX account_identities_by_account ON account_identities (account_id);

-- Families of refresh tokens. Only the newest one and the one before it have a hash here.
CREATE TABLE sessions (
    id            bytea  PRIMARY KEY,
    account_id    text   COLLATE "C" NOT NULL,
    user_agent    text,
    -- How often the refresh token was replaced.
    generation    bigint NOT NULL,
    token_hash    bytea  NOT NULL,
    previous_hash bytea,
    created_at    bigint NOT NULL,
    -- When the newest token was made.
    last_used_at  bigint NOT NULL,
    -- When it ends, unless it is used before.
    expires_at    bigint NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Sessions that were ended before their time, in the order of the commits that ended them, for as long as access tokens of theirs may be about.
CREATE TABLE ended_sessions (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bytea  NOT NULL,
    at         bigint NOT NULL
);

-- Links that somebody was given: to choose a password, or to sign up.
CREATE TABLE account_links (
    token_hash bytea  PRIMARY KEY,
    -- 'reset' or 'invite'.
    kind       text   NOT NULL,
    -- Whose password it resets; null for an invite.
    account_id text   COLLATE "C",
    -- Whom it invites, and to what.
    login      text   COLLATE "C",
    roles      text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    -- Set once it is not good any more: a message that is repeated does not make it good again.
    used_at    bigint
);
CREATE INDEX account_links_by_account ON account_links (account_id);
CREATE INDEX account_links_by_expiry ON account_links (expires_at);

-- Failures to sign in, by a keyed hash of login and address, of the address, or of the login; and the addresses that a login is known at.
CREATE TABLE sign_in_counts (
    key        bytea   PRIMARY KEY,
    failures   bigint  NOT NULL,
    -- 0: nobody has had to wait.
    wait_until bigint  NOT NULL,
    known      boolean NOT NULL,
    expires_at bigint  NOT NULL
);
CREATE INDEX sign_in_counts_by_expiry ON sign_in_counts (expires_at);

-- When guests were made, by a keyed hash of their address, for an hour.
CREATE TABLE guest_arrivals (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address bytea  NOT NULL,
    at      bigint NOT NULL
);
CREATE INDEX guest_arrivals_by_address ON guest_arrivals (address, at);
CREATE INDEX guest_arrivals_by_time ON guest_arrivals (at);
