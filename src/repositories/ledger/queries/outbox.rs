//! The outbox: what was committed and is still to be announced.

use std::collections::{BTreeSet, HashMap};

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, TextExpressionMethods, sql_types::BigInt, sql_types::Text};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        outbox::{Announced, CLAIM_SECONDS, OtherEpoch, POSTPONED_SECONDS},
        schema::outbox,
        statement::statement,
    },
    Conn, Db, Failure, batch, evidence, history, leaderboards,
};
use crate::domain::{
    announcement::{Announcement, Change},
    ids::UserId,
    leaderboard::Board,
    time::Timestamp,
};

/// How far, in seconds, the clocks of instances may differ before one instance ignores another's times. More than the length of
/// a claim.
const CLOCKS_APART: i64 = 15;

/// Events that one statement looks up.
const EVENTS_AT_ONCE: usize = 1_000;

/// Rows that are searched for one change, newest first. In a larger outbox the change counts as found.
const LOOKED_THROUGH: i64 = 20_000;

statement!(
    /// Adds a row that nobody has claimed.
    Db, AddToOutbox { created_at: BigInt = i64, payload: Text = str } -> BigInt,
    "INSERT INTO outbox (created_at, claimed_until, payload) VALUES (?, 0, ?) RETURNING id"
);

statement!(
    /// Claims due rows. Rows that another sweeper is claiming at this moment are skipped, not waited for.
    Db, ClaimDue {
        claimed_until: BigInt = i64, created_before: BigInt = i64, created_beyond: BigInt = i64, free_since: BigInt = i64,
        free_beyond: BigInt = i64, after: BigInt = i64, limit: BigInt = i64,
    } -> (BigInt, Text),
    format!(
        "UPDATE outbox SET claimed_until = ? WHERE id IN (SELECT id FROM outbox \
         WHERE (created_at <= ? OR created_at > ?) AND (claimed_until <= ? OR claimed_until > ?) AND id > ? ORDER BY id LIMIT ? {}) \
         RETURNING id, payload",
        batch::SKIP_CLAIMED
    )
);

statement!(
    /// Whether one of the newest rows holds a text.
    Db, FindInOutbox { limit: BigInt = i64, pattern: Text = str } -> BigInt,
    "SELECT n.id FROM (SELECT id, payload FROM outbox ORDER BY id DESC LIMIT ?) n WHERE n.payload LIKE ? LIMIT 1"
);

/// How the payload of a row of [`Announcement::Events`] begins, which names no user.
const EVENTS: &str = "{\"kind\":\"events\"%";

/// Takes a user out of what is still to be announced: nobody is to learn that id, and the entry it is about is no longer that user's. The
/// rankings that know the user begin anew, so nothing is missing from them.
pub async fn forget(conn: &mut Conn, user: &UserId) -> Result<(), Failure> {
    let spelled_out = outbox::table.filter(outbox::payload.not_like(EVENTS)).order(outbox::id);
    let rows: Vec<(i64, String)> = spelled_out.select((outbox::id, outbox::payload)).load(conn).await?;
    for (id, payload) in rows {
        let left = match serde_json::from_str(&payload) {
            Ok(Announcement::Scores { changes }) if changes.iter().any(|change| change.user_id == *user) => {
                let others: Vec<Change> = changes.into_iter().filter(|change| change.user_id != *user).collect();
                (!others.is_empty()).then_some(Announcement::Scores { changes: others })
            }
            Ok(Announcement::Rename { user_id, .. }) if user_id == *user => None,
            _ => continue,
        };
        match left {
            Some(left) => {
                let payload = serde_json::to_string(&left).map_err(Failure::corrupt)?;
                diesel::update(outbox::table.find(id)).set(outbox::payload.eq(payload)).execute(conn).await?;
            }
            None => drop(diesel::delete(outbox::table.find(id)).execute(conn).await?),
        }
    }
    Ok(())
}

/// Adds a row; returns its id.
pub async fn add(conn: &mut Conn, now: Timestamp, announcement: &Announcement) -> Result<i64, Failure> {
    let payload = serde_json::to_string(announcement).map_err(Failure::corrupt)?;
    Ok(AddToOutbox { created_at: &now.0, payload: &payload }.get_result(conn).await?)
}

/// Claims up to `limit` rows that are older and unclaimed, in their order after `after`. The claim lapses after
/// `CLAIM_SECONDS`, whatever age of rows its owner and the other instances request.
pub async fn due(
    conn: &mut Conn,
    now: Timestamp,
    made_before: Timestamp,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Option<Announcement>)>, Failure> {
    let claimed_until = now.plus_seconds(CLAIM_SECONDS).0;
    // Times so far ahead were written by a wrong clock, or before this clock was set back. Their writer may be dead, and the
    // row must not wait until that time has come.
    let longest = POSTPONED_SECONDS[POSTPONED_SECONDS.len() - 1];
    let claim = ClaimDue {
        claimed_until: &claimed_until,
        created_before: &made_before.0,
        created_beyond: &now.plus_seconds(CLOCKS_APART).0,
        free_since: &now.0,
        free_beyond: &now.plus_seconds(longest + CLOCKS_APART).0,
        after: &after,
        limit: &limit,
    };
    let mut rows: Vec<(i64, String)> = claim.load(conn).await?;
    rows.sort_by_key(|(id, _)| *id);
    let mut due = Vec::with_capacity(rows.len());
    for (id, payload) in rows {
        // One row that cannot be parsed must not block those behind it.
        let announcement = serde_json::from_str(&payload)
            .inspect_err(|error| tracing::error!(id, %error, "an outbox row is not understood and stays"));
        due.push((id, announcement.ok()));
    }
    spell_out(conn, &mut due).await?;
    Ok(due)
}

/// Replaces the events that rows name by their changes, with one query of the history for all of them together.
async fn spell_out(conn: &mut Conn, due: &mut [(i64, Option<Announcement>)]) -> Result<(), Failure> {
    let named = |(_, announcement): &(i64, Option<Announcement>)| match announcement {
        Some(Announcement::Events { ids }) => ids.clone(),
        _ => Vec::new(),
    };
    let ids: Vec<Uuid> = due.iter().flat_map(named).collect();
    let mut found: HashMap<Uuid, Vec<Change>> = HashMap::new();
    for some in ids.chunks(EVENTS_AT_ONCE) {
        for change in history::changes(conn, some).await? {
            found.entry(change.event_id).or_default().push(change);
        }
    }
    for (_, announcement) in due {
        if let Some(Announcement::Events { ids }) = announcement {
            let changes = ids.iter().flat_map(|id| found.remove(id).unwrap_or_default()).collect();
            *announcement = Some(Announcement::Scores { changes });
        }
    }
    Ok(())
}

/// Removes rows that were announced to rankings of the present epochs; returns the other epochs. Rows of those stay, and are
/// free at once: an instance that reaches the present ranking must be able to claim them.
///
/// A rebuild is allotted its epoch before it reads the first entry. So if the epoch is unchanged, every later rebuild reads
/// what was committed before this moment, and that includes what the row announces.
pub async fn done(conn: &mut Conn, rows: &[Announced]) -> Result<Vec<OtherEpoch>, Failure> {
    let answered: BTreeSet<(i64, i64)> = rows.iter().flat_map(|row| row.epochs.iter().copied()).collect();
    let mut pks: Vec<i64> = answered.iter().map(|(pk, _)| *pk).collect();
    pks.dedup();
    let known = leaderboards::epochs_of(conn, &pks).await?;
    let other = answered.into_iter().filter_map(|(pk, ranking)| {
        let ledger = *known.get(&pk)?;
        (ledger != ranking).then_some(OtherEpoch { pk, ranking, ledger })
    });
    let other: Vec<OtherEpoch> = other.collect();
    let is_other = |(pk, ranking): &(i64, i64)| other.iter().any(|other| (other.pk, other.ranking) == (*pk, *ranking));
    let (refused, done): (Vec<&Announced>, Vec<&Announced>) = rows.iter().partition(|row| row.epochs.iter().any(is_other));
    let ids = |rows: Vec<&Announced>| rows.into_iter().map(|row| row.row).collect::<Vec<i64>>();
    diesel::delete(outbox::table.filter(outbox::id.eq_any(ids(done)))).execute(conn).await?;
    if !refused.is_empty() {
        unclaim(conn, &ids(refused)).await?;
    }
    Ok(other)
}

/// Releases claimed rows.
pub async fn unclaim(conn: &mut Conn, ids: &[i64]) -> Result<(), Failure> {
    diesel::update(outbox::table.filter(outbox::id.eq_any(ids))).set(outbox::claimed_until.eq(0)).execute(conn).await?;
    Ok(())
}

/// Postpones rows, longer each time.
pub async fn postpone(conn: &mut Conn, ids: &[i64], now: Timestamp) -> Result<(), Failure> {
    let rows: Vec<(i64, i64)> =
        outbox::table.filter(outbox::id.eq_any(ids)).select((outbox::id, outbox::attempts)).load(conn).await?;
    for (id, attempts) in rows {
        let step = usize::try_from(attempts).unwrap_or_default().min(POSTPONED_SECONDS.len() - 1);
        let until = now.plus_seconds(POSTPONED_SECONDS[step]).0;
        let row = diesel::update(outbox::table.find(id));
        row.set((outbox::claimed_until.eq(until), outbox::attempts.eq(attempts + 1))).execute(conn).await?;
    }
    Ok(())
}

/// Makes postponed rows due.
pub async fn release_postponed(conn: &mut Conn) -> Result<(), Failure> {
    let postponed = outbox::table.filter(outbox::attempts.gt(0));
    diesel::update(postponed).set(outbox::claimed_until.eq(0)).execute(conn).await?;
    Ok(())
}

/// Which of these rows exist.
pub async fn left(conn: &mut Conn, ids: &[i64]) -> Result<Vec<i64>, Failure> {
    Ok(outbox::table.filter(outbox::id.eq_any(ids)).select(outbox::id).load(conn).await?)
}

/// Whether a row holds the change that made this revision of an entry.
pub async fn holds(conn: &mut Conn, board: Board, user: &UserId, revision: i64) -> Result<bool, Failure> {
    let Some(event) = evidence::of_revision(conn, board, user, revision).await? else { return Ok(false) };
    let pattern = format!("%{event}%");
    let find = FindInOutbox { limit: &LOOKED_THROUGH, pattern: &pattern };
    Ok(find.get_result::<i64>(conn).await.optional()?.is_some() || len(conn).await? > LOOKED_THROUGH)
}

/// For each of these leaderboards the first row before row `before` that concerns it, if there is one. In a larger outbox than
/// can be searched, each has one.
pub async fn first_pending(conn: &mut Conn, pks: &[i64], before: i64) -> Result<HashMap<i64, i64>, Failure> {
    let rows = outbox::table.filter(outbox::id.lt(before)).order(outbox::id).limit(LOOKED_THROUGH + 1);
    let rows: Vec<(i64, String)> = rows.select((outbox::id, outbox::payload)).load(conn).await?;
    if rows.len() as i64 > LOOKED_THROUGH {
        return Ok(pks.iter().map(|pk| (*pk, i64::MIN)).collect());
    }
    // What is not understood is not waited for: nobody knows whether it will ever be announced.
    let mut rows: Vec<_> = rows.into_iter().map(|(id, payload)| (id, serde_json::from_str(&payload).ok())).collect();
    spell_out(conn, &mut rows).await?;
    let mut first = HashMap::new();
    for (id, announcement) in &rows {
        for board in announcement.iter().flat_map(|announcement| announcement.boards()).filter(|board| pks.contains(&board.pk)) {
            first.entry(board.pk).or_insert(*id);
        }
    }
    Ok(first)
}

/// The number of rows.
pub async fn len(conn: &mut Conn) -> Result<i64, Failure> {
    Ok(outbox::table.count().get_result(conn).await?)
}
