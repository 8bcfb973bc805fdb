-- Who changed what that is no score; see migrations/postgres.
CREATE TABLE audit (
    seq            integer PRIMARY KEY,
    at             integer NOT NULL,
    action         text    NOT NULL,
    request_id     text,
    subject        text,
    subject_digest text,
    target         text,
    target_digest  text,
    reason         text,
    reason_digest  text,
    details        text,
    details_digest text,
    salt           text,
    hash           text    NOT NULL
) STRICT;
