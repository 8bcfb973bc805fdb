//! A batch on SQLite: a loop of prepared statements. There is no round trip to save here, and a point read costs a few microseconds.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::{
        receipts::PackedBatch,
        schema::{idempotency_keys, installation},
        statement::statement,
    },
    Conn, Db, Failure,
    queries::{
        maintenance::run_keys_before,
        outbox::AddToOutbox,
        receipts,
        scores::{Needs, Writes},
        users::{ShownColumns, shown},
    },
};
use crate::domain::{
    ids::UserId,
    job::PruneKeys,
    settlement::{EntryChange, EntryState, Naming, State, UsedKey},
    time::Timestamp,
};

/// How a claim of outbox rows treats rows that another instance is claiming: there can be none while this transaction writes.
pub const SKIP_CLAIMED: &str = "";

/// A row of [`FindKey`]: fingerprint, event, batch of receipts, receipt by itself.
type KeyRow = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, Option<String>);

/// A row of [`FindEntry`]: display name, revision of the name, whether there are sanctions against the user; score, time,
/// revision.
type EntryRow = (ShownColumns, Option<bool>, Option<bool>, Option<i64>, Option<i64>, Option<i64>);

statement!(
    Db, FindKey { subject: Text = str, key: Text = str } -> (Binary, Binary, Nullable<Binary>, Nullable<Text>),
    "SELECT k.fingerprint, k.event_id, k.receipt_batch, coalesce(r.body, k.receipt) FROM idempotency_keys k \
     LEFT JOIN receipts r ON r.event_id = k.event_id WHERE k.subject = ? AND k.key = ?"
);

statement!(
    /// The entry, if it exists, and its user's name, if there is one.
    Db, FindEntry { board: BigInt = i64, season: BigInt = i64, user: Text = str }
    -> ((Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<BigInt>), Nullable<Bool>, Nullable<Bool>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>),
    "SELECT u.display_name, u.avatar_url, u.country, u.revision, u.sanctioned, u.name_locked, CASE WHEN e.sort_score < 9223372036854775807 THEN e.score END, e.reached_at, e.revision FROM (SELECT ? AS board, ? AS season, ? AS id) n \
     LEFT JOIN entries e ON e.leaderboard_pk = n.board AND e.season = n.season AND e.user_id = n.id \
     LEFT JOIN users u ON u.id = n.id"
);

statement!(
    /// If the previous release was run again, its events are in the history alone. The conditions on that index are literals,
    /// not bound: only then is the index used.
    Db, FindRecent {
        user: Text = str, action: Text = str, since: BigInt = i64, count: BigInt = i64,
        same_user: Text = str, same_action: Text = str, same_since: BigInt = i64, same_count: BigInt = i64, of_both: BigInt = i64,
    } -> BigInt,
    "SELECT at FROM (\
       SELECT * FROM (SELECT at, event_id FROM action_uses WHERE user_id = ? AND action_id = ? AND at > ? ORDER BY at DESC LIMIT ?) \
       UNION \
       SELECT * FROM (SELECT at, event_id FROM score_events \
         WHERE user_id = ? AND action_id = ? AND at > ? AND position = 0 AND limited ORDER BY at DESC LIMIT ?)\
     ) ORDER BY at DESC LIMIT ?"
);

statement!(
    Db, AddUse { user: Text = str, action: Text = str, at: BigInt = i64, event_id: Binary = [u8] } -> BigInt,
    "INSERT INTO action_uses (user_id, action_id, at, event_id) VALUES (?, ?, ?, ?)"
);

statement!(
    Db, AddUser { id: Text = str, created_at: BigInt = i64, updated_at: BigInt = i64 } -> BigInt,
    "INSERT INTO users (id, revision, created_at, updated_at) VALUES (?, 0, ?, ?)"
);

statement!(
    Db, NameUser { name: Text = str, updated_at: BigInt = i64, id: Text = str, revision: BigInt = i64 } -> BigInt,
    "UPDATE users SET display_name = ?, revision = revision + 1, updated_at = ? \
     WHERE id = ? AND revision = ? AND display_name IS NULL AND NOT name_locked"
);

/// Names users who have no name at the revisions that were read; false if another transaction was quicker.
pub async fn name_users(conn: &mut Conn, named: &[Naming], now: Timestamp) -> Result<bool, Failure> {
    let mut done = 0;
    for Naming { user_id, name, revision } in named {
        done += NameUser { name, updated_at: &now.0, id: user_id.as_str(), revision }.execute(conn).await?;
    }
    Ok(done == named.len())
}

statement!(
    Db, AddSearchRow { user: Text = str, folded: Text = str } -> BigInt,
    "INSERT INTO user_search (user_id, folded) VALUES (?, ?) ON CONFLICT DO NOTHING"
);

/// Adds what users are found by.
pub async fn add_search_rows(conn: &mut Conn, rows: Vec<(&str, String)>) -> Result<(), Failure> {
    for (user, folded) in rows {
        AddSearchRow { user, folded: &folded }.execute(conn).await?;
    }
    Ok(())
}

statement!(
    Db, PutEntry {
        board: BigInt = i64, season: BigInt = i64, user: Text = str, score: BigInt = i64, sort_score: BigInt = i64,
        reached_at: BigInt = i64, revision: BigInt = i64,
    } -> BigInt,
    "INSERT INTO entries (leaderboard_pk, season, user_id, score, sort_score, reached_at, revision) VALUES (?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (leaderboard_pk, season, user_id) DO UPDATE SET \
     score = excluded.score, sort_score = excluded.sort_score, reached_at = excluded.reached_at, revision = excluded.revision"
);

statement!(
    Db, AddEvent {
        id: Binary = [u8], position: BigInt = i64, board: BigInt = i64, season: BigInt = i64, value: Nullable<BigInt> = Option<i64>,
        delta: BigInt = i64, previous: Nullable<BigInt> = Option<i64>, score: BigInt = i64, revision: BigInt = i64, at: BigInt = i64,
        applied: Bool = bool, limited: Bool = bool, user: Text = str, leaderboard: Text = str, action: Text = str, subject: Text = str,
        metadata: Nullable<Text> = Option<String>, points: Nullable<BigInt> = Option<i64>,
    } -> BigInt,
    "INSERT INTO score_events (event_id, position, leaderboard_pk, season, value, delta, previous_score, new_score, revision, at, \
     applied, limited, user_id, leaderboard_id, action_id, subject, metadata, points) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

statement!(
    Db, AddKey {
        subject: Text = str, key: Text = str, fingerprint: Binary = [u8], event_id: Binary = [u8], created_at: BigInt = i64,
        receipt_batch: Nullable<Binary> = Option<&'a [u8]>,
    } -> BigInt,
    "INSERT INTO idempotency_keys (subject, key, fingerprint, event_id, created_at, receipt_batch) VALUES (?, ?, ?, ?, ?, ?) \
     ON CONFLICT (subject, key) DO NOTHING"
);

/// Reads the definitions' revision and everything that the outcome depends on.
pub async fn open(conn: &mut Conn, needs: &Needs<'_>) -> Result<(i64, State), Failure> {
    let revision = installation::table.select(installation::definitions_revision).first(conn).await?;
    Ok((revision, read(conn, needs).await?))
}

/// Like [`open`], again in the same transaction.
pub async fn reopen(conn: &mut Conn, needs: &Needs<'_>) -> Result<(i64, State), Failure> {
    open(conn, needs).await
}

/// No lock is needed: the transaction holds the whole file.
pub async fn lock(_: &mut Conn, _: &BTreeSet<&UserId>, _: &mut State) -> Result<(), Failure> {
    Ok(())
}

async fn read(conn: &mut Conn, needs: &Needs<'_>) -> Result<State, Failure> {
    let mut state = State::default();
    let mut batches = BTreeSet::new();
    for (subject, key) in &needs.keys {
        let row: Option<KeyRow> = FindKey { subject, key }.get_result(conn).await.optional()?;
        let Some((fingerprint, event_id, batch, receipt)) = row else { continue };
        let event_id = Uuid::from_slice(&event_id).map_err(Failure::corrupt)?;
        batches.extend(batch);
        state.keys.insert(((*subject).into(), key.to_string()), UsedKey { fingerprint, event_id, receipt });
    }
    let batched = receipts::of_batches(conn, &batches, &receipts::wanted(&state)).await?;
    receipts::give(&mut state, batched);
    for key in &needs.entries {
        let find = FindEntry { board: &key.0, season: &key.1, user: key.2.as_str() };
        let (columns, sanctioned, locked, score, reached_at, revision): EntryRow = find.get_result(conn).await?;
        if sanctioned == Some(true) {
            state.sanctioned.insert(key.2.clone());
        }
        if locked == Some(true) {
            state.locked_names.insert(key.2.clone());
        }
        state.names.extend(shown(columns).map(|shown| (key.2.clone(), shown)));
        if let (Some(reached_at), Some(revision)) = (reached_at, revision) {
            state.entries.insert(key.clone(), EntryState { score, reached_at: Timestamp(reached_at), revision, hidden: false });
        }
    }
    for ((user, action), (since, count)) in &needs.recent {
        let (user_id, action_id) = (user.as_str(), action.as_str());
        let find = FindRecent {
            user: user_id,
            action: action_id,
            since: &since.0,
            count,
            same_user: user_id,
            same_action: action_id,
            same_since: &since.0,
            same_count: count,
            of_both: count,
        };
        let times: Vec<i64> = find.load(conn).await?;
        let times = times.into_iter().map(Timestamp).collect();
        state.recent.insert((UserId::clone(user), (*action).clone()), times);
    }
    Ok(state)
}

/// Writes a settled batch; returns the id of its outbox row.
pub async fn write(conn: &mut Conn, writes: &Writes<'_>) -> Result<Option<i64>, Failure> {
    let now = &writes.now.0;
    for id in &writes.newcomers {
        AddUser { id: id.as_str(), created_at: now, updated_at: now }.execute(conn).await?;
    }
    for EntryChange { key: (board, season, user), after: entry, .. } in &writes.settlement.entries {
        let order = writes.orders.get(board).ok_or_else(|| Failure::corrupt("an entry without its board"))?;
        let score = entry.score.ok_or_else(|| Failure::corrupt("a score without a score"))?;
        let put = PutEntry {
            board,
            season,
            user: user.as_str(),
            score: &score,
            sort_score: &entry.sort_score(*order),
            reached_at: &entry.reached_at.0,
            revision: &entry.revision,
        };
        put.execute(conn).await?;
    }
    for row in writes.events() {
        let add = AddEvent {
            id: row.accepted.event_id.as_bytes(),
            position: &row.position,
            board: &row.standing.board.pk,
            season: &row.standing.board.season,
            value: &row.submission.value,
            delta: &row.standing.delta,
            previous: &row.standing.previous_score,
            score: &row.standing.new_score,
            revision: &row.standing.revision,
            at: &row.accepted.at.0,
            applied: &row.standing.applied,
            limited: &row.limited,
            user: row.accepted.user_id.as_str(),
            leaderboard: row.standing.leaderboard_id.as_str(),
            action: row.accepted.action_id.as_str(),
            subject: &row.submission.subject,
            metadata: &row.metadata()?,
            points: &row.standing.points,
        };
        add.execute(conn).await?;
    }
    for (submission, idempotency, accepted) in writes.keys() {
        let add = AddKey {
            subject: submission.key_owner(),
            key: &idempotency.key,
            fingerprint: &idempotency.fingerprint,
            event_id: accepted.event_id.as_bytes(),
            created_at: now,
            receipt_batch: &accepted.receipt_batch.as_ref().map(|id| id.as_bytes().as_slice()),
        };
        if add.execute(conn).await? == 0 {
            return Err(Failure::KeyUsed);
        }
    }
    for used in writes.uses() {
        let add = AddUse {
            user: used.user_id.as_str(),
            action: used.action_id.as_str(),
            at: &used.at.0,
            event_id: used.event_id.as_bytes(),
        };
        add.execute(conn).await?;
    }
    let Some(payload) = &writes.payload else { return Ok(None) };
    Ok(Some(AddToOutbox { created_at: now, payload }.get_result(conn).await?))
}

statement!(
    Db, AddReceipt { event: Binary = [u8], body: Text = str } -> BigInt,
    "INSERT INTO receipts (event_id, body) VALUES (?, ?) ON CONFLICT (event_id) DO NOTHING"
);

/// Stores receipts that are not stored yet; returns how many.
pub async fn add_receipts(conn: &mut Conn, receipts: &BTreeMap<Uuid, &str>) -> Result<usize, Failure> {
    let mut added = 0;
    for (event_id, body) in receipts {
        added += AddReceipt { event: event_id.as_bytes(), body }.execute(conn).await?;
    }
    Ok(added)
}

statement!(
    Db, AddReceiptBatch { id: Binary = [u8], receipts: Nullable<Binary> = Option<&'a [u8]> } -> BigInt,
    "INSERT INTO receipt_batches (id, receipts) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
);

/// Stores batches of receipts that are not stored yet; returns how many.
pub async fn add_receipt_batches(conn: &mut Conn, batches: &[PackedBatch]) -> Result<usize, Failure> {
    let mut added = 0;
    for (id, receipts) in batches {
        added += AddReceiptBatch { id: id.as_bytes(), receipts: &receipts.as_deref() }.execute(conn).await?;
    }
    Ok(added)
}

statement!(
    Db, DeleteOldKeys {
        subject: Text = str, key: Text = str, last_subject: Text = str, last_key: Text = str,
        runs_before: BigInt = i64, created_before: BigInt = i64,
    } -> BigInt,
    "DELETE FROM idempotency_keys WHERE (subject, key) > (?, ?) AND (subject, key) <= (?, ?) \
     AND created_at < CASE WHEN key LIKE 'run %' THEN ? ELSE ? END"
);

/// Keys that one step reads.
const KEYS: i64 = 4_096;

/// Deletes old keys among the next ones; returns how many, and where to continue, if there is more.
pub async fn prune_keys(
    conn: &mut Conn,
    created_before: Timestamp,
    from: PruneKeys,
) -> Result<(usize, Option<PruneKeys>), Failure> {
    let (subject, key) = from.after;
    let after =
        idempotency_keys::subject.gt(&subject).or(idempotency_keys::subject.eq(&subject).and(idempotency_keys::key.gt(&key)));
    let last: Option<(String, String)> = idempotency_keys::table
        .filter(idempotency_keys::subject.ge(&subject))
        .filter(after)
        .order((idempotency_keys::subject, idempotency_keys::key))
        .select((idempotency_keys::subject, idempotency_keys::key))
        .offset(KEYS - 1)
        .first(conn)
        .await
        .optional()?;
    // After every subject in real use; a greater one would only have its keys stored for longer.
    let end = last.clone().unwrap_or_else(|| ("\u{10ffff}".repeat(2), String::new()));
    let prune = DeleteOldKeys {
        subject: &subject,
        key: &key,
        last_subject: &end.0,
        last_key: &end.1,
        runs_before: &run_keys_before(created_before).0,
        created_before: &created_before.0,
    };
    let pruned = prune.execute(conn).await?;
    Ok((pruned, last.map(|after| PruneKeys { after, ..PruneKeys::default() })))
}
