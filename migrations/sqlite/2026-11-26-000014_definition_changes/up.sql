-- What each of the newest revisions of the definitions changed; see migrations/postgres.
CREATE TABLE definition_changes (
    revision integer NOT NULL,
    stamp    integer NOT NULL,
    kind     text    NOT NULL,
    id       text    NOT NULL,
    PRIMARY KEY (revision, kind, id)
) STRICT, WITHOUT ROWID;
