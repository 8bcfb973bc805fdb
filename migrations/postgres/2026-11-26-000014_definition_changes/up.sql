-- What each of the newest revisions of the definitions changed, so that whoever knows an earlier one reads that and not everything. A revision
-- without a row was made by a release that notes nothing here: then everything is read.
CREATE TABLE definition_changes (
    revision bigint NOT NULL,
    -- At random: a ledger that was set back and has come to the same revision again has another one there.
    stamp    bigint NOT NULL,
    -- 'leaderboard' or 'action'.
    kind     text   NOT NULL COLLATE "C",
    id       text   NOT NULL COLLATE "C",
    PRIMARY KEY (revision, kind, id)
);
