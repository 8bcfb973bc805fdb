//! A batch on PostgreSQL: one statement per table, whatever the number of submissions, and the statements of a step on their way
//! together. With the `BEGIN` and the `COMMIT` that makes five round trips for a batch of any size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{
    ExpressionMethods, QueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::future::{try_join, try_join3, try_join5};
use uuid::Uuid;

use super::{
    super::{
        schema::{installation, users},
        statement::statement,
    },
    Conn, Db, Failure,
    queries::{
        outbox::AddToOutbox,
        scores::{Needs, Opening, Writes},
    },
};
use crate::domain::{
    entry::DisplayName,
    ids::{ActionId, UserId},
    settlement::{EntryState, State, UsedKey},
    time::Timestamp,
};

/// What a claim of outbox rows says about rows that another instance is claiming.
pub const SKIP_CLAIMED: &str = "FOR UPDATE SKIP LOCKED";

type KeyRow = (String, String, Vec<u8>, Vec<u8>, Option<String>);
type EntryRow = (i64, i64, String, i64, i64, i64);
type RecentRow = (String, String, i64);

statement!(
    Db, FindKeys { subjects: Array<Text> = [&'a str], keys: Array<Text> = [&'a str] }
    -> (Text, Text, Binary, Binary, Nullable<Text>),
    "SELECT k.subject, k.key, k.fingerprint, k.event_id, k.receipt FROM unnest(?, ?) AS n(subject, key) \
     JOIN idempotency_keys k ON k.subject = n.subject AND k.key = n.key"
);

statement!(
    Db, FindEntries { boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64], users: Array<Text> = [&'a str] }
    -> (BigInt, BigInt, Text, BigInt, BigInt, BigInt),
    "SELECT e.leaderboard_pk, e.season, e.user_id, e.score, e.reached_at, e.revision FROM unnest(?, ?, ?) AS n(board, season, id) \
     JOIN entries e ON e.leaderboard_pk = n.board AND e.season = n.season AND e.user_id = n.id"
);

statement!(
    Db, FindRecent {
        users: Array<Text> = [&'a str], actions: Array<Text> = [&'a str],
        since: Array<BigInt> = [i64], counts: Array<BigInt> = [i64],
    } -> (Text, Text, BigInt),
    "SELECT n.id, n.action, h.at FROM unnest(?, ?, ?, ?) AS n(id, action, since, count) CROSS JOIN LATERAL \
     (SELECT at FROM score_events WHERE user_id = n.id AND action_id = n.action AND at > n.since AND position = 0 \
      ORDER BY at DESC LIMIT n.count) h ORDER BY n.id, n.action, h.at DESC"
);

statement!(
    Db, AddUsers { created_at: BigInt = i64, updated_at: BigInt = i64, ids: Array<Text> = [&'a str] } -> BigInt,
    "INSERT INTO users (id, revision, created_at, updated_at) SELECT n.id, 0, ?, ? FROM unnest(?) WITH ORDINALITY AS n(id, turn) \
     ORDER BY n.turn ON CONFLICT (id) DO NOTHING"
);

statement!(
    Db, PutEntries {
        boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64], users: Array<Text> = [&'a str], scores: Array<BigInt> = [i64],
        sort_scores: Array<BigInt> = [i64], times: Array<BigInt> = [i64], revisions: Array<BigInt> = [i64],
    } -> BigInt,
    "INSERT INTO entries (leaderboard_pk, season, user_id, score, sort_score, reached_at, revision) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?) ON CONFLICT (leaderboard_pk, season, user_id) DO UPDATE SET \
     score = excluded.score, sort_score = excluded.sort_score, reached_at = excluded.reached_at, revision = excluded.revision"
);

statement!(
    Db, AddEvents {
        ids: Array<Binary> = [&'a [u8]], positions: Array<BigInt> = [i64], boards: Array<BigInt> = [i64], seasons: Array<BigInt> = [i64],
        values: Array<Nullable<BigInt>> = [Option<i64>], deltas: Array<BigInt> = [i64],
        previous: Array<Nullable<BigInt>> = [Option<i64>], scores: Array<BigInt> = [i64], revisions: Array<BigInt> = [i64],
        times: Array<BigInt> = [i64], applied: Array<Bool> = [bool], users: Array<Text> = [&'a str],
        leaderboards: Array<Text> = [&'a str], actions: Array<Text> = [&'a str], subjects: Array<Text> = [&'a str],
        metadata: Array<Nullable<Text>> = [Option<String>],
    } -> BigInt,
    "INSERT INTO score_events (event_id, position, leaderboard_pk, season, value, delta, previous_score, new_score, revision, at, \
     applied, user_id, leaderboard_id, action_id, subject, metadata) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

statement!(
    Db, AddKeys {
        subjects: Array<Text> = [&'a str], keys: Array<Text> = [&'a str], fingerprints: Array<Binary> = [&'a [u8]],
        events: Array<Binary> = [&'a [u8]], times: Array<BigInt> = [i64],
    } -> BigInt,
    "INSERT INTO idempotency_keys (subject, key, fingerprint, event_id, created_at) SELECT * FROM unnest(?, ?, ?, ?, ?) \
     ON CONFLICT (subject, key) DO NOTHING"
);

/// Locks the users that exist, in the order of their ids, and reads the definitions' revision.
pub async fn open(conn: &mut Conn, ids: &BTreeSet<&UserId>) -> Result<Opening, Failure> {
    let conn = &*conn;
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let revision = installation::table.select(installation::definitions_revision);
    let names = users::table
        .filter(users::id.eq_any(&ids))
        .order(users::id)
        .select((users::id, users::display_name, users::revision))
        .for_no_key_update();
    let (revision, rows): (i64, Vec<(String, Option<String>, i64)>) =
        try_join(revision.first(&mut &*conn), names.load(&mut &*conn)).await?;
    let mut names = HashMap::with_capacity(rows.len());
    for (id, name, revision) in rows {
        names.insert(UserId::parse(&id).map_err(Failure::corrupt)?, DisplayName { name, revision });
    }
    Ok(Opening { revision, names })
}

/// Reads what the outcome rests on; the users are locked.
pub async fn load(conn: &mut Conn, needs: &Needs<'_>) -> Result<State, Failure> {
    let conn = &*conn;
    let (subjects, keys): (Vec<_>, Vec<_>) = needs.keys.iter().copied().unzip();
    let boards: Vec<i64> = needs.entries.iter().map(|key| key.0).collect();
    let seasons: Vec<i64> = needs.entries.iter().map(|key| key.1).collect();
    let users: Vec<&str> = needs.entries.iter().map(|key| key.2.as_str()).collect();
    let recent_users: Vec<&str> = needs.recent.keys().map(|(user, _)| user.as_str()).collect();
    let recent_actions: Vec<&str> = needs.recent.keys().map(|(_, action)| action.as_str()).collect();
    let (since, counts): (Vec<_>, Vec<_>) = needs.recent.values().map(|(since, count)| (since.0, *count)).unzip();

    let find_keys = FindKeys { subjects: &subjects, keys: &keys };
    let find_entries = FindEntries { boards: &boards, seasons: &seasons, users: &users };
    let find_recent = FindRecent { users: &recent_users, actions: &recent_actions, since: &since, counts: &counts };
    let (keys, entries, recent) = try_join3(
        async { if subjects.is_empty() { Ok(Vec::new()) } else { find_keys.load::<KeyRow>(&mut &*conn).await } },
        async { if boards.is_empty() { Ok(Vec::new()) } else { find_entries.load::<EntryRow>(&mut &*conn).await } },
        async { if since.is_empty() { Ok(Vec::new()) } else { find_recent.load::<RecentRow>(&mut &*conn).await } },
    )
    .await?;

    let mut state = State::default();
    for (subject, key, fingerprint, event_id, receipt) in keys {
        let event_id = Uuid::from_slice(&event_id).map_err(Failure::corrupt)?;
        state.keys.insert((subject, key), UsedKey { fingerprint, event_id, receipt });
    }
    for (board, season, user, score, reached_at, revision) in entries {
        let user = UserId::parse(&user).map_err(Failure::corrupt)?;
        let entry = EntryState { score, reached_at: Timestamp(reached_at), revision };
        state.entries.insert((board, season, user), entry);
    }
    for (user, action, at) in recent {
        let user = UserId::parse(&user).map_err(Failure::corrupt)?;
        let action = ActionId::parse(&action).map_err(Failure::corrupt)?;
        state.recent.entry((user, action)).or_default().push(Timestamp(at));
    }
    Ok(state)
}

/// Writes a settled batch; answers the id of its outbox row.
pub async fn write(conn: &mut Conn, writes: &Writes<'_>) -> Result<Option<i64>, Failure> {
    let conn = &*conn;
    let (users, entries, events, keys, outbox) = try_join5(
        write_users(conn, writes),
        write_entries(conn, writes),
        write_events(conn, writes),
        write_keys(conn, writes),
        write_outbox(conn, writes),
    )
    .await?;
    let ((), ()) = (entries, events);
    // A user or a key that is there by now was not there when the outcome was settled: it has to be settled again.
    if users && keys { Ok(outbox) } else { Err(Failure::Raced) }
}

async fn write_users(conn: &Conn, writes: &Writes<'_>) -> Result<bool, Failure> {
    if writes.newcomers.is_empty() {
        return Ok(true);
    }
    let ids: Vec<&str> = writes.newcomers.iter().map(|id| id.as_str()).collect();
    let made = AddUsers { created_at: &writes.now.0, updated_at: &writes.now.0, ids: &ids }.execute(&mut &*conn).await?;
    Ok(made == ids.len())
}

async fn write_entries(conn: &Conn, writes: &Writes<'_>) -> Result<(), Failure> {
    let entries = &writes.settlement.entries;
    if entries.is_empty() {
        return Ok(());
    }
    let sort_score = |board: i64, score: i64| writes.orders.get(&board).map(|order| order.sort_score(score));
    let sort_scores: Option<Vec<i64>> = entries.iter().map(|((board, ..), entry)| sort_score(*board, entry.score)).collect();
    PutEntries {
        boards: &entries.iter().map(|(key, _)| key.0).collect::<Vec<_>>(),
        seasons: &entries.iter().map(|(key, _)| key.1).collect::<Vec<_>>(),
        users: &entries.iter().map(|(key, _)| key.2.as_str()).collect::<Vec<_>>(),
        scores: &entries.iter().map(|(_, entry)| entry.score).collect::<Vec<_>>(),
        sort_scores: &sort_scores.ok_or_else(|| Failure::corrupt("an entry without its board"))?,
        times: &entries.iter().map(|(_, entry)| entry.reached_at.0).collect::<Vec<_>>(),
        revisions: &entries.iter().map(|(_, entry)| entry.revision).collect::<Vec<_>>(),
    }
    .execute(&mut &*conn)
    .await?;
    Ok(())
}

async fn write_events(conn: &Conn, writes: &Writes<'_>) -> Result<(), Failure> {
    let rows: Vec<_> = writes.events().collect();
    AddEvents {
        ids: &rows.iter().map(|row| row.accepted.event_id.as_bytes().as_slice()).collect::<Vec<_>>(),
        positions: &rows.iter().map(|row| row.position).collect::<Vec<_>>(),
        boards: &rows.iter().map(|row| row.standing.board.pk).collect::<Vec<_>>(),
        seasons: &rows.iter().map(|row| row.standing.board.season).collect::<Vec<_>>(),
        values: &rows.iter().map(|row| row.submission.value).collect::<Vec<_>>(),
        deltas: &rows.iter().map(|row| row.standing.delta).collect::<Vec<_>>(),
        previous: &rows.iter().map(|row| row.standing.previous_score).collect::<Vec<_>>(),
        scores: &rows.iter().map(|row| row.standing.new_score).collect::<Vec<_>>(),
        revisions: &rows.iter().map(|row| row.standing.revision).collect::<Vec<_>>(),
        times: &rows.iter().map(|row| row.accepted.at.0).collect::<Vec<_>>(),
        applied: &rows.iter().map(|row| row.standing.applied).collect::<Vec<_>>(),
        users: &rows.iter().map(|row| row.accepted.user_id.as_str()).collect::<Vec<_>>(),
        leaderboards: &rows.iter().map(|row| row.standing.leaderboard_id.as_str()).collect::<Vec<_>>(),
        actions: &rows.iter().map(|row| row.accepted.action_id.as_str()).collect::<Vec<_>>(),
        subjects: &rows.iter().map(|row| row.submission.subject.as_str()).collect::<Vec<_>>(),
        metadata: &rows.iter().map(|row| row.metadata()).collect::<Result<Vec<_>, _>>()?,
    }
    .execute(&mut &*conn)
    .await?;
    Ok(())
}

async fn write_keys(conn: &Conn, writes: &Writes<'_>) -> Result<bool, Failure> {
    let rows = writes.keys();
    if rows.is_empty() {
        return Ok(true);
    }
    let made = AddKeys {
        subjects: &rows.iter().map(|row| row.0.subject.as_str()).collect::<Vec<_>>(),
        keys: &rows.iter().map(|row| row.1.key.as_str()).collect::<Vec<_>>(),
        fingerprints: &rows.iter().map(|row| row.1.fingerprint.as_slice()).collect::<Vec<_>>(),
        events: &rows.iter().map(|row| row.0.event_id.as_bytes().as_slice()).collect::<Vec<_>>(),
        times: &vec![writes.now.0; rows.len()],
    }
    .execute(&mut &*conn)
    .await?;
    Ok(made == rows.len())
}

async fn write_outbox(conn: &Conn, writes: &Writes<'_>) -> Result<Option<i64>, Failure> {
    let Some(payload) = &writes.payload else { return Ok(None) };
    Ok(Some(AddToOutbox { created_at: &writes.now.0, payload }.get_result(&mut &*conn).await?))
}

statement!(
    /// Locks the rows in one order, because an `UPDATE … FROM` picks its own.
    Db, LockKeys { subjects: Array<Text> = [&'a str], keys: Array<Text> = [&'a str] } -> (Text, Text, Nullable<Text>),
    "SELECT k.subject, k.key, k.receipt FROM unnest(?, ?) AS n(subject, key) \
     JOIN idempotency_keys k ON k.subject = n.subject AND k.key = n.key ORDER BY k.subject, k.key FOR NO KEY UPDATE OF k"
);

statement!(
    Db, PutReceipts { subjects: Array<Text> = [&'a str], keys: Array<Text> = [&'a str], bodies: Array<Text> = [&'a str] } -> BigInt,
    "UPDATE idempotency_keys k SET receipt = n.body FROM unnest(?, ?, ?) AS n(subject, key, body) \
     WHERE k.subject = n.subject AND k.key = n.key AND k.receipt IS NULL"
);

/// Stores receipts where there are none; answers those that are stored then.
pub async fn put_receipts(
    conn: &mut Conn,
    receipts: &BTreeMap<(&str, &str), &str>,
) -> Result<HashMap<(String, String), String>, Failure> {
    let (subjects, keys): (Vec<_>, Vec<_>) = receipts.keys().copied().unzip();
    let bodies: Vec<_> = receipts.values().copied().collect();
    let locked: Vec<(String, String, Option<String>)> = LockKeys { subjects: &subjects, keys: &keys }.load(conn).await?;
    PutReceipts { subjects: &subjects, keys: &keys, bodies: &bodies }.execute(conn).await?;
    let stored = locked.into_iter().filter_map(|(subject, key, receipt)| {
        let body = receipt.or_else(|| receipts.get(&(subject.as_str(), key.as_str())).map(ToString::to_string))?;
        Some(((subject, key), body))
    });
    Ok(stored.collect())
}
