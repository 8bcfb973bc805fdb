//! The statements of a batch on PostgreSQL, one array per column of rows.

use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};

use super::{super::statement::statement, Db, queries::users::ShownColumns};

/// A row of [`FindKeys`].
pub type KeyRow = (String, String, Vec<u8>, Vec<u8>, Option<Vec<u8>>, Option<String>);
/// A row of [`FindEntries`].
pub type EntryRow =
    ((i64, Option<i64>, i64), i64, i64, String, Option<i64>, Option<i64>, Option<i64>, ShownColumns, Option<bool>, Option<bool>);
/// A row of [`FindRecent`].
pub type RecentRow = (String, String, i64);

statement!(
    Db, FindKeys { subjects: Array<Text> = [&'a str], keys: Array<Text> = [&'a str] }
    -> (Text, Text, Binary, Binary, Nullable<Binary>, Nullable<Text>),
    "SELECT k.subject, k.key, k.fingerprint, k.event_id, k.receipt_batch, coalesce(r.body, k.receipt) FROM unnest(?, ?) AS n(subject, key) \
     JOIN idempotency_keys k ON k.subject = n.subject AND k.key = n.key LEFT JOIN receipts r ON r.event_id = k.event_id"
);

statement!(
    /// The definitions' revision, the time of the newest event and the server's own time, and each requested entry, if it exists, with its user's
    /// name, if there is one, and whether there are sanctions against the user.
    Db, FindEntries { boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64], users: Array<Text> = [&'a str] }
    -> ((BigInt, Nullable<BigInt>, BigInt), BigInt, BigInt, Text, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, (Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<BigInt>), Nullable<Bool>, Nullable<Bool>),
    "SELECT (SELECT definitions_revision FROM installation), (SELECT at FROM score_events ORDER BY event_id DESC, position DESC LIMIT 1), \
     (SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint), n.board, n.season, n.id, CASE WHEN e.sort_score < 9223372036854775807 THEN e.score END, e.reached_at, e.revision, u.display_name, u.avatar_url, u.country, u.revision, u.sanctioned, u.name_locked \
     FROM unnest(?, ?, ?) AS n(board, season, id) \
     LEFT JOIN entries e ON e.leaderboard_pk = n.board AND e.season = n.season AND e.user_id = n.id \
     LEFT JOIN users u ON u.id = n.id"
);

statement!(
    Db, LockUsers { ids: Array<Text> = [&'a str] } -> (Text, (Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<BigInt>), Bool),
    "SELECT u.id, u.display_name, u.avatar_url, u.country, u.revision, u.sanctioned FROM unnest(?) AS n(id) JOIN users u ON u.id = n.id \
     ORDER BY u.id FOR NO KEY UPDATE OF u"
);

statement!(
    Db, LockEntries { boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64], users: Array<Text> = [&'a str] } -> BigInt,
    "SELECT e.revision FROM unnest(?, ?, ?) AS n(board, season, id) \
     JOIN entries e ON e.leaderboard_pk = n.board AND e.season = n.season AND e.user_id = n.id \
     ORDER BY e.leaderboard_pk, e.season, e.user_id FOR NO KEY UPDATE OF e"
);

statement!(
    /// The history is queried as well, because the previous release knows nothing else.
    Db, FindRecent {
        users: Array<Text> = [&'a str], actions: Array<Text> = [&'a str],
        since: Array<BigInt> = [i64], counts: Array<BigInt> = [i64],
    } -> (Text, Text, BigInt),
    "SELECT n.id, n.action, h.at FROM unnest(?, ?, ?, ?) AS n(id, action, since, count) CROSS JOIN LATERAL \
     ((SELECT at, event_id FROM action_uses WHERE user_id = n.id AND action_id = n.action AND at > n.since \
       ORDER BY at DESC LIMIT n.count) \
      UNION (SELECT at, event_id FROM score_events \
       WHERE user_id = n.id AND action_id = n.action AND at > n.since AND position = 0 AND limited ORDER BY at DESC LIMIT n.count) \
      ORDER BY at DESC LIMIT n.count) h ORDER BY n.id, n.action, h.at DESC"
);

statement!(
    Db, AddUses {
        users: Array<Text> = [&'a str], actions: Array<Text> = [&'a str], times: Array<BigInt> = [i64],
        events: Array<Binary> = [&'a [u8]],
    } -> BigInt,
    "INSERT INTO action_uses (user_id, action_id, at, event_id) SELECT * FROM unnest(?, ?, ?, ?) ON CONFLICT DO NOTHING"
);

statement!(
    Db, AddUsers { created_at: BigInt = i64, updated_at: BigInt = i64, ids: Array<Text> = [&'a str] } -> BigInt,
    "INSERT INTO users (id, revision, created_at, updated_at) SELECT n.id, 0, ?, ? FROM unnest(?) WITH ORDINALITY AS n(id, turn) \
     ORDER BY n.turn ON CONFLICT (id) DO NOTHING"
);

statement!(
    /// Names users who have no name at these revisions; returns how many.
    Db, NameUsers { updated_at: BigInt = i64, ids: Array<Text> = [&'a str], names: Array<Text> = [&'a str], revisions: Array<BigInt> = [i64] } -> BigInt,
    "UPDATE users u SET display_name = n.name, revision = u.revision + 1, updated_at = ? \
     FROM unnest(?, ?, ?) AS n(id, name, revision) \
     WHERE u.id = n.id AND u.revision = n.revision AND u.display_name IS NULL AND NOT u.name_locked"
);

statement!(
    Db, AddSearchRows { users: Array<Text> = [&'a str], texts: Array<Text> = [String] } -> BigInt,
    "INSERT INTO user_search (user_id, folded) SELECT * FROM unnest(?, ?) ON CONFLICT DO NOTHING"
);

statement!(
    /// What every batch writes, as one statement, because every further statement is answered by a message of its own: existing
    /// entries, the history, idempotency keys, and the outbox row. Entries are updated in the order of the arrays, so that two
    /// instances never deadlock: the transaction allows no other plan. Returns how many entries were updated, how many keys
    /// were new, and the id of the outbox row, if there is one.
    Db, WriteBatch {
        scores: Array<BigInt> = [i64], sort_scores: Array<BigInt> = [i64], times: Array<BigInt> = [i64], revisions: Array<BigInt> = [i64],
        boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64], users: Array<Text> = [&'a str], before: Array<BigInt> = [i64],
        event_ids: Array<Binary> = [&'a [u8]], event_positions: Array<BigInt> = [i64], event_boards: Array<BigInt> = [i64],
        event_seasons: Array<BigInt> = [i64], event_values: Array<Nullable<BigInt>> = [Option<i64>],
        event_deltas: Array<BigInt> = [i64], event_previous: Array<Nullable<BigInt>> = [Option<i64>],
        event_scores: Array<BigInt> = [i64], event_revisions: Array<BigInt> = [i64], event_times: Array<BigInt> = [i64],
        event_applied: Array<Bool> = [bool], event_limited: Array<Bool> = [bool], event_users: Array<Text> = [&'a str],
        event_leaderboards: Array<Text> = [&'a str], event_actions: Array<Text> = [&'a str], event_subjects: Array<Text> = [&'a str],
        event_metadata: Array<Nullable<Text>> = [Option<String>], event_points: Array<Nullable<BigInt>> = [Option<i64>],
        keys_at: BigInt = i64, key_subjects: Array<Text> = [&'a str], keys: Array<Text> = [&'a str],
        key_fingerprints: Array<Binary> = [&'a [u8]], key_events: Array<Binary> = [&'a [u8]],
        key_receipts: Array<Nullable<Binary>> = [Option<&'a [u8]>],
        now: BigInt = i64, payloads: Array<Text> = [&'a str],
    } -> (BigInt, BigInt, Nullable<BigInt>),
    "WITH updated AS (\
       UPDATE entries e SET score = n.score, sort_score = n.sort_score, reached_at = n.reached_at, revision = n.revision \
       FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) AS n(score, sort_score, reached_at, revision, board, season, id, before) \
       WHERE e.leaderboard_pk = n.board AND e.season = n.season AND e.user_id = n.id AND e.revision = n.before RETURNING 1), \
     told AS (\
       INSERT INTO score_events (event_id, position, leaderboard_pk, season, value, delta, previous_score, new_score, revision, at, \
       applied, limited, user_id, leaderboard_id, action_id, subject, metadata, points) \
       SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)), \
     keyed AS (\
       INSERT INTO idempotency_keys (created_at, subject, key, fingerprint, event_id, receipt_batch) \
       SELECT ?, n.* FROM unnest(?, ?, ?, ?, ?) AS n(subject, key, fingerprint, event, receipts) ON CONFLICT (subject, key) DO NOTHING RETURNING 1), \
     owed AS (\
       INSERT INTO outbox (created_at, claimed_until, payload) SELECT ?, 0, n.payload FROM unnest(?) AS n(payload) RETURNING id) \
     SELECT (SELECT count(*) FROM updated), (SELECT count(*) FROM keyed), (SELECT id FROM owed)"
);

statement!(
    Db, AddEntries {
        scores: Array<BigInt> = [i64], sort_scores: Array<BigInt> = [i64], times: Array<BigInt> = [i64], revisions: Array<BigInt> = [i64],
        boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64], users: Array<Text> = [&'a str],
    } -> BigInt,
    "INSERT INTO entries (score, sort_score, reached_at, revision, leaderboard_pk, season, user_id) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?) ON CONFLICT (leaderboard_pk, season, user_id) DO NOTHING"
);

statement!(
    Db, AddReceipts { events: Array<Binary> = [&'a [u8]], bodies: Array<Text> = [&'a str] } -> BigInt,
    "INSERT INTO receipts (event_id, body) SELECT * FROM unnest(?, ?) ON CONFLICT (event_id) DO NOTHING"
);

statement!(
    Db, FindReceiptBatches { ids: Array<Binary> = [&'a [u8]] } -> Nullable<Binary>,
    "SELECT b.receipts FROM unnest(?) AS n(id) JOIN receipt_batches b ON b.id = n.id"
);

statement!(
    Db, AddReceiptBatches { ids: Array<Binary> = [&'a [u8]], receipts: Array<Nullable<Binary>> = [Option<&'a [u8]>] } -> BigInt,
    "INSERT INTO receipt_batches (id, receipts) SELECT * FROM unnest(?, ?) ON CONFLICT (id) DO NOTHING"
);

statement!(
    /// The number of pages of a table.
    Db, CountPages { table: Text = str } -> BigInt,
    "SELECT pg_relation_size(?::text::regclass) / current_setting('block_size')::bigint"
);

statement!(
    /// Deletes old keys in a range of pages: read sequentially, whatever indexes and statistics there are.
    Db, DeleteOldKeys { from: Text = str, to: Text = str, runs_before: BigInt = i64, created_before: BigInt = i64 } -> BigInt,
    "DELETE FROM idempotency_keys WHERE ctid >= ?::text::tid AND ctid < ?::text::tid \
     AND created_at < CASE WHEN key LIKE 'run %' THEN ? ELSE ? END"
);
