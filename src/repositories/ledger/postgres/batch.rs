//! A batch on PostgreSQL: three round trips for a batch of any size, the first to begin the transaction and read, the second to
//! write, the third to commit; and as few statements as possible, because each costs about as much as ten more rows.
//!
//! Reads take no locks, because a row lock is a write. An entry is updated only at the revision that was read, so a batch that
//! lost a race with another instance updates fewer rows than it should and is rolled back. Only what a revision cannot protect
//! is locked: users whose cooldowns count, and users who get their first entry in a ranking (a rename must not slip in
//! between). A user who does not exist yet cannot be locked; whoever begins to exist between two reads is a race. After a race the batches that follow are [cautious](Needs::cautious). Users are locked before entries and entries
//! before keys, each in order.

use std::collections::{BTreeMap, BTreeSet};

use diesel::QueryDsl;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::join;
use uuid::Uuid;

use super::{
    super::{receipts::PackedBatch, schema::installation},
    Conn, Failure, locks,
    queries::{
        maintenance::run_keys_before,
        receipts,
        scores::{Needs, Writes},
        users::{ShownColumns, shown},
    },
    statements::{
        AddEntries, AddReceiptBatches, AddReceipts, AddSearchRows, AddUsers, AddUses, CountPages, DeleteOldKeys, EntryRow,
        FindEntries, FindKeys, FindReceiptBatches, FindRecent, KeyRow, LockEntries, LockUsers, NameUsers, RecentRow, WriteBatch,
    },
};
use crate::domain::{
    ids::{ActionId, UserId},
    job::PruneKeys,
    settlement::{EntryChange, EntryState, Naming, State, UsedKey},
    time::Timestamp,
};

/// How a claim of outbox rows treats rows that another instance is claiming.
pub const SKIP_CLAIMED: &str = "FOR UPDATE SKIP LOCKED";

/// Settings of the transaction that leave the planner one plan for each statement here: walk the arrays in order, look each row
/// up in an index. Any other plan, however good it looks while a table is small, is kept by the connection when the table has
/// grown, and takes its locks in an order of its own. Without `jit`, because reading a table of one row then counts as a plan
/// of enormous cost.
const ONE_PLAN: &str = "set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
                        set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true), \
                        set_config('plan_cache_mode', 'force_generic_plan', true)";

/// Begins the transaction and reads the definitions' revision and everything that the outcome depends on.
pub async fn open(conn: &mut Conn, needs: &Needs<'_>) -> Result<(i64, State), Failure> {
    let begin =
        format!("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {ONE_PLAN}, pg_advisory_xact_lock_shared({})", locks::DEFINITIONS);
    let begin = async { Ok((&*conn).batch_execute(&begin).await?) };
    if needs.cautious || !needs.recent.is_empty() {
        begin.await?;
        return reopen(conn, needs).await;
    }
    let conn = &*conn;
    // The `BEGIN` is polled first, and so is sent first: it alone needs no statement to be prepared.
    match join!(begin, read(conn, needs)) {
        (Ok(()), Ok(opened)) => Ok(opened),
        (begun, opened) => Err(Failure::cause([begun.err(), opened.err()])),
    }
}

/// Like [`open`], in a transaction that has begun.
pub async fn reopen(conn: &mut Conn, needs: &Needs<'_>) -> Result<(i64, State), Failure> {
    // In sequence: a locked row has to be read after its lock is taken.
    let users: BTreeSet<&UserId> = match needs.cautious {
        true => needs.entries.iter().map(|key| &key.2).collect(),
        false => needs.recent.keys().map(|(user, _)| *user).collect(),
    };
    let mut locked = State::default();
    lock(conn, &users, &mut locked).await?;
    if needs.cautious {
        let (boards, seasons, users) = columns(needs);
        LockEntries { boards: &boards, seasons: &seasons, users: &users }.load::<i64>(conn).await?;
    }
    let opened = read(conn, needs).await?;
    // A user who came to exist in between is not locked: other submissions may use up the limit that was read.
    let unlocked = |user: &UserId| opened.1.names.contains_key(user) && !locked.names.contains_key(user);
    if needs.recent.keys().any(|(user, _)| unlocked(user)) { Err(Failure::Raced) } else { Ok(opened) }
}

/// Locks those of the users that exist, and reads their names again.
pub async fn lock(conn: &mut Conn, users: &BTreeSet<&UserId>, state: &mut State) -> Result<(), Failure> {
    if users.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = users.iter().map(|id| id.as_str()).collect();
    let rows: Vec<(String, ShownColumns, bool)> = LockUsers { ids: &ids }.load(conn).await?;
    for (id, columns, sanctioned) in rows {
        let user = UserId::parse(&id).map_err(Failure::corrupt)?;
        if sanctioned {
            state.sanctioned.insert(user.clone());
        }
        state.names.extend(shown(columns).map(|shown| (user, shown)));
    }
    Ok(())
}

fn columns<'a>(needs: &'a Needs<'_>) -> (Vec<i64>, Vec<i64>, Vec<&'a str>) {
    let rows = needs.entries.iter().map(|(board, season, user)| (*board, *season, user.as_str()));
    let (mut boards, mut seasons, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for (board, season, user) in rows {
        boards.push(board);
        seasons.push(season);
        users.push(user);
    }
    (boards, seasons, users)
}

async fn read(conn: &Conn, needs: &Needs<'_>) -> Result<(i64, State), Failure> {
    let (subjects, keys): (Vec<_>, Vec<_>) = needs.keys.iter().copied().unzip();
    let (boards, seasons, users) = columns(needs);
    let recent_users: Vec<&str> = needs.recent.keys().map(|(user, _)| user.as_str()).collect();
    let recent_actions: Vec<&str> = needs.recent.keys().map(|(_, action)| action.as_str()).collect();
    let (since, counts): (Vec<_>, Vec<_>) = needs.recent.values().map(|(since, count)| (since.0, *count)).unzip();

    let find_keys = FindKeys { subjects: &subjects, keys: &keys };
    let find_entries = FindEntries { boards: &boards, seasons: &seasons, users: &users };
    let find_recent = FindRecent { users: &recent_users, actions: &recent_actions, since: &since, counts: &counts };
    let read = join!(
        async {
            if subjects.is_empty() { Ok::<_, Failure>(Vec::new()) } else { Ok(find_keys.load::<KeyRow>(&mut &*conn).await?) }
        },
        async { if boards.is_empty() { Ok(Vec::new()) } else { Ok(find_entries.load::<EntryRow>(&mut &*conn).await?) } },
        async { if since.is_empty() { Ok(Vec::new()) } else { Ok(find_recent.load::<RecentRow>(&mut &*conn).await?) } },
    );
    let (keys, entries, recent) = match read {
        (Ok(keys), Ok(entries), Ok(recent)) => (keys, entries, recent),
        (keys, entries, recent) => return Err(Failure::cause([keys.err(), entries.err(), recent.err()])),
    };
    let (revision, newest, time) = match entries.as_slice() {
        [((revision, newest, time), ..), ..] => (*revision, *newest, Some(*time)),
        [] => (installation::table.select(installation::definitions_revision).first(&mut &*conn).await?, None, None),
    };

    let mut state = State { newest: newest.map(Timestamp), ledger_time: time.map(Timestamp), ..State::default() };
    let mut batches = BTreeSet::new();
    for (subject, key, fingerprint, event_id, batch, receipt) in keys {
        let event_id = Uuid::from_slice(&event_id).map_err(Failure::corrupt)?;
        batches.extend(batch);
        state.keys.insert((subject.into(), key), UsedKey { fingerprint, event_id, receipt });
    }
    if !batches.is_empty() {
        let ids: Vec<&[u8]> = batches.iter().map(Vec::as_slice).collect();
        let packed = FindReceiptBatches { ids: &ids }.load(&mut &*conn).await?;
        let batched = receipts::unpack_all(packed, &receipts::wanted(&state))?;
        receipts::give(&mut state, batched);
    }
    for (_, board, season, user, score, reached_at, revision, columns, sanctioned, locked) in entries {
        let user = UserId::parse(&user).map_err(Failure::corrupt)?;
        if locked == Some(true) {
            state.locked_names.insert(user.clone());
        }
        if sanctioned == Some(true) {
            state.sanctioned.insert(user.clone());
        }
        state.names.extend(shown(columns).map(|shown| (user.clone(), shown)));
        if let (Some(reached_at), Some(revision)) = (reached_at, revision) {
            let entry = EntryState { score, reached_at: Timestamp(reached_at), revision, hidden: false };
            state.entries.insert((board, season, user), entry);
        }
    }
    for (user, action, at) in recent {
        let user = UserId::parse(&user).map_err(Failure::corrupt)?;
        let action = ActionId::parse(&action).map_err(Failure::corrupt)?;
        state.recent.entry((user, action)).or_default().push(Timestamp(at));
    }
    Ok((revision, state))
}

/// Writes a settled batch; returns the id of its outbox row.
pub async fn write(conn: &mut Conn, writes: &Writes<'_>) -> Result<Option<i64>, Failure> {
    let conn = &*conn;
    let (users, batch) = (write_users(conn, writes), write_batch(conn, writes));
    match join!(users, batch, add_entries(conn, writes), add_uses(conn, writes)) {
        (Ok(true), Ok((true, outbox)), Ok(true), Ok(())) => Ok(outbox),
        // If fewer rows were changed than the outcome says, it was settled with outdated rows and has to be settled again.
        (Ok(_), Ok(_), Ok(_), Ok(())) => Err(Failure::Raced),
        (users, batch, added, uses) => Err(Failure::cause([users.err(), batch.err(), added.err(), uses.err()])),
    }
}

async fn add_uses(conn: &Conn, writes: &Writes<'_>) -> Result<(), Failure> {
    let uses: Vec<_> = writes.uses().collect();
    if !uses.is_empty() {
        let add = AddUses {
            users: &uses.iter().map(|used| used.user_id.as_str()).collect::<Vec<_>>(),
            actions: &uses.iter().map(|used| used.action_id.as_str()).collect::<Vec<_>>(),
            times: &uses.iter().map(|used| used.at.0).collect::<Vec<_>>(),
            events: &uses.iter().map(|used| used.event_id.as_bytes().as_slice()).collect::<Vec<_>>(),
        };
        add.execute(&mut &*conn).await?;
    }
    Ok(())
}

async fn write_users(conn: &Conn, writes: &Writes<'_>) -> Result<bool, Failure> {
    if writes.newcomers.is_empty() {
        return Ok(true);
    }
    let ids: Vec<&str> = writes.newcomers.iter().map(|id| id.as_str()).collect();
    let made = AddUsers { created_at: &writes.now.0, updated_at: &writes.now.0, ids: &ids }.execute(&mut &*conn).await?;
    Ok(made == ids.len())
}

/// Names users who have no name at the revisions that were read; false if another transaction was quicker.
pub async fn name_users(conn: &mut Conn, named: &[Naming], now: Timestamp) -> Result<bool, Failure> {
    let ids: Vec<&str> = named.iter().map(|naming| naming.user_id.as_str()).collect();
    let names: Vec<&str> = named.iter().map(|naming| naming.name.as_str()).collect();
    let revisions: Vec<i64> = named.iter().map(|naming| naming.revision).collect();
    let name = NameUsers { updated_at: &now.0, ids: &ids, names: &names, revisions: &revisions };
    Ok(name.execute(conn).await? == named.len())
}

/// Adds what users are found by.
pub async fn add_search_rows(conn: &mut Conn, rows: Vec<(&str, String)>) -> Result<(), Failure> {
    let (users, texts): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    Ok(AddSearchRows { users: &users, texts: &texts }.execute(conn).await.map(drop)?)
}

/// The columns of entries to be written, parallel.
#[derive(Default)]
struct EntryColumns<'a> {
    scores: Vec<i64>,
    sort_scores: Vec<i64>,
    times: Vec<i64>,
    revisions: Vec<i64>,
    boards: Vec<i64>,
    seasons: Vec<i64>,
    users: Vec<&'a str>,
    before: Vec<i64>,
}

impl<'a> EntryColumns<'a> {
    fn of(writes: &Writes<'a>, those: impl Fn(&EntryChange) -> bool) -> Result<Self, Failure> {
        let mut columns = Self::default();
        for change in writes.settlement.entries.iter().filter(|change| those(change)) {
            let (board, season, user) = &change.key;
            let order = writes.orders.get(board).ok_or_else(|| Failure::corrupt("an entry without its board"))?;
            let score = change.after.score.ok_or_else(|| Failure::corrupt("a score without a score"))?;
            columns.scores.push(score);
            columns.sort_scores.push(change.after.sort_score(*order));
            columns.times.push(change.after.reached_at.0);
            columns.revisions.push(change.after.revision);
            columns.boards.push(*board);
            columns.seasons.push(*season);
            columns.users.push(user.as_str());
            columns.before.push(change.before.unwrap_or_default());
        }
        Ok(columns)
    }
}

async fn write_batch(conn: &Conn, writes: &Writes<'_>) -> Result<(bool, Option<i64>), Failure> {
    let columns = EntryColumns::of(writes, |change| change.before.is_some())?;
    let EntryColumns { scores, sort_scores, times, revisions, boards, seasons, users, before } = &columns;
    let rows: Vec<_> = writes.events().collect();
    let payloads: Vec<&str> = writes.payload.iter().map(String::as_str).collect();
    let keys = writes.keys();
    let write = WriteBatch {
        scores,
        sort_scores,
        times,
        revisions,
        boards,
        seasons,
        users,
        before,
        event_ids: &rows.iter().map(|row| row.accepted.event_id.as_bytes().as_slice()).collect::<Vec<_>>(),
        event_positions: &rows.iter().map(|row| row.position).collect::<Vec<_>>(),
        event_boards: &rows.iter().map(|row| row.standing.board.pk).collect::<Vec<_>>(),
        event_seasons: &rows.iter().map(|row| row.standing.board.season).collect::<Vec<_>>(),
        event_values: &rows.iter().map(|row| row.submission.value).collect::<Vec<_>>(),
        event_deltas: &rows.iter().map(|row| row.standing.delta).collect::<Vec<_>>(),
        event_previous: &rows.iter().map(|row| row.standing.previous_score).collect::<Vec<_>>(),
        event_scores: &rows.iter().map(|row| row.standing.new_score).collect::<Vec<_>>(),
        event_revisions: &rows.iter().map(|row| row.standing.revision).collect::<Vec<_>>(),
        event_times: &rows.iter().map(|row| row.accepted.at.0).collect::<Vec<_>>(),
        event_applied: &rows.iter().map(|row| row.standing.applied).collect::<Vec<_>>(),
        event_limited: &rows.iter().map(|row| row.limited).collect::<Vec<_>>(),
        event_users: &rows.iter().map(|row| row.accepted.user_id.as_str()).collect::<Vec<_>>(),
        event_leaderboards: &rows.iter().map(|row| row.standing.leaderboard_id.as_str()).collect::<Vec<_>>(),
        event_actions: &rows.iter().map(|row| row.accepted.action_id.as_str()).collect::<Vec<_>>(),
        event_subjects: &rows.iter().map(|row| &*row.submission.subject).collect::<Vec<_>>(),
        event_metadata: &rows.iter().map(|row| row.metadata()).collect::<Result<Vec<_>, _>>()?,
        event_points: &rows.iter().map(|row| row.standing.points).collect::<Vec<_>>(),
        key_subjects: &keys.iter().map(|row| row.0.key_owner()).collect::<Vec<_>>(),
        keys: &keys.iter().map(|row| row.1.key.as_str()).collect::<Vec<_>>(),
        key_fingerprints: &keys.iter().map(|row| row.1.fingerprint.as_slice()).collect::<Vec<_>>(),
        key_events: &keys.iter().map(|row| row.2.event_id.as_bytes().as_slice()).collect::<Vec<_>>(),
        key_receipts: &keys.iter().map(|row| row.2.receipt_batch.as_ref().map(|id| id.as_bytes().as_slice())).collect::<Vec<_>>(),
        keys_at: &writes.now.0,
        now: &writes.now.0,
        payloads: &payloads,
    };
    let (updated, keyed, outbox): (i64, i64, Option<i64>) = write.get_result(&mut &*conn).await?;
    if usize::try_from(keyed) != Ok(keys.len()) {
        return Err(Failure::KeyUsed);
    }
    Ok((usize::try_from(updated) == Ok(users.len()), outbox))
}

async fn add_entries(conn: &Conn, writes: &Writes<'_>) -> Result<bool, Failure> {
    let columns = EntryColumns::of(writes, |change| change.before.is_none())?;
    let EntryColumns { scores, sort_scores, times, revisions, boards, seasons, users, .. } = &columns;
    if users.is_empty() {
        return Ok(true);
    }
    let add = AddEntries { scores, sort_scores, times, revisions, boards, seasons, users };
    Ok(add.execute(&mut &*conn).await? == users.len())
}

/// Stores receipts that are not stored yet; returns how many.
pub async fn add_receipts(conn: &mut Conn, receipts: &BTreeMap<Uuid, &str>) -> Result<usize, Failure> {
    let events: Vec<&[u8]> = receipts.keys().map(|id| id.as_bytes().as_slice()).collect();
    let bodies: Vec<&str> = receipts.values().copied().collect();
    Ok(AddReceipts { events: &events, bodies: &bodies }.execute(conn).await?)
}

/// Stores batches of receipts that are not stored yet; returns how many.
pub async fn add_receipt_batches(conn: &mut Conn, batches: &[PackedBatch]) -> Result<usize, Failure> {
    let ids: Vec<&[u8]> = batches.iter().map(|(id, _)| id.as_bytes().as_slice()).collect();
    let receipts: Vec<Option<&[u8]>> = batches.iter().map(|(_, receipts)| receipts.as_deref()).collect();
    Ok(AddReceiptBatches { ids: &ids, receipts: &receipts }.execute(conn).await?)
}

/// Pages of the table that one step reads: one MiB.
const PAGES: i64 = 128;

/// Deletes the old keys of the next pages; returns how many, and where to continue, if there is more.
pub async fn prune_keys(
    conn: &mut Conn,
    created_before: Timestamp,
    from: PruneKeys,
) -> Result<(usize, Option<PruneKeys>), Failure> {
    let PruneKeys { page, .. } = from;
    let pages: i64 = CountPages { table: "idempotency_keys" }.get_result(conn).await?;
    let next = page + PAGES;
    let (from, to, runs_before) = (format!("({page},0)"), format!("({next},0)"), run_keys_before(created_before));
    let prune = DeleteOldKeys { from: &from, to: &to, runs_before: &runs_before.0, created_before: &created_before.0 };
    let pruned = prune.execute(conn).await?;
    Ok((pruned, (next < pages).then(|| PruneKeys { page: next, ..PruneKeys::default() })))
}
