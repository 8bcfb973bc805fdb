-- Accounts of players, moderators and administrators; see migrations/postgres.
CREATE TABLE accounts (
    id text PRIMARY KEY,
    login text UNIQUE,
    password text,
    device_hash blob UNIQUE,
    roles text NOT NULL,
    disabled integer NOT NULL DEFAULT 0,
    asked_at integer,
    created_at integer NOT NULL,
    updated_at integer NOT NULL
) STRICT;

CREATE TABLE account_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    account_id text NOT NULL,
    created_at integer NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX account_identities_by_account ON account_identities (account_id);

CREATE TABLE sessions (
    id blob PRIMARY KEY,
    account_id text NOT NULL,
    user_agent text,
    generation integer NOT NULL,
    token_hash blob NOT NULL,
    previous_hash blob,
    created_at integer NOT NULL,
    last_used_at integer NOT NULL,
    expires_at integer NOT NULL
) STRICT;
CREATE INDEX sessions_by_account ON sessions (account_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE ended_sessions (
    seq integer PRIMARY KEY AUTOINCREMENT,
    session_id blob NOT NULL,
    at integer NOT NULL
) STRICT;

CREATE TABLE account_links (
    token_hash blob PRIMARY KEY,
    kind text NOT NULL,
    account_id text,
    login text,
    roles text NOT NULL,
    created_at integer NOT NULL,
    expires_at integer NOT NULL,
    used_at integer
) STRICT;
CREATE INDEX account_links_by_account ON account_links (account_id);
CREATE INDEX account_links_by_expiry ON account_links (expires_at);

CREATE TABLE sign_in_counts (
    key blob PRIMARY KEY,
    failures integer NOT NULL,
    wait_until integer NOT NULL,
    known integer NOT NULL,
    expires_at integer NOT NULL
) STRICT;
CREATE INDEX sign_in_counts_by_expiry ON sign_in_counts (expires_at);

CREATE TABLE guest_arrivals (
    id integer PRIMARY KEY AUTOINCREMENT,
    address blob NOT NULL,
    at integer NOT NULL
) STRICT;
CREATE INDEX guest_arrivals_by_address ON guest_arrivals (address, at);
CREATE INDEX guest_arrivals_by_time ON guest_arrivals (at);
