-- What changed entries beside scores: each takes a revision of its entry, as a score does, and an event of its own. The previous release knows none
-- of it: an entry that was taken out is in its eyes the last one of its ranking. So nothing is taken out before that release is gone.
--
-- An entry that was taken out of its ranking keeps its row in `entries`, which counts its revisions, with the greatest sort score there is: no score
-- has it, and every index has such rows at its end (domain/entry.rs, `TAKEN_OUT`).
CREATE TABLE corrections (
    -- A UUID v7 of its time.
    event_id       bytea   PRIMARY KEY,
    leaderboard_pk bigint  NOT NULL,
    season         bigint  NOT NULL,
    user_id        text    NOT NULL COLLATE "C",
    -- The entry's revision after it.
    revision       bigint  NOT NULL,
    -- NULL: it was in no ranking before; it is in none after.
    previous_score bigint,
    new_score      bigint,
    -- Microseconds.
    at             bigint  NOT NULL,
    -- Why: 'removed'.
    cause          text    NOT NULL,
    -- Whose credential asked for it.
    subject        text    NOT NULL COLLATE "C",
    UNIQUE (leaderboard_pk, season, user_id, revision)
);
