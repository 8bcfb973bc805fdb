-- Who changed what that is no score, written in the transaction of the change, and never changed but by an erasure, which drops texts and salt. The
-- previous release writes none: what it changes is not in here.
CREATE TABLE audit (
    -- 1, 2, 3 … without gaps.
    seq            bigint PRIMARY KEY,
    -- Microseconds.
    at             bigint NOT NULL,
    action         text   NOT NULL,
    request_id     text,
    -- Each text has a digest, SHA-256 of salt and text, which stays when the text is erased.
    subject        text,
    subject_digest text,
    target         text,
    target_digest  text,
    reason         text,
    reason_digest  text,
    -- JSON.
    details        text,
    details_digest text,
    salt           text,
    -- SHA-256 of the previous hash and this row as canonical JSON, with digests in place of texts.
    hash           text   NOT NULL
);
