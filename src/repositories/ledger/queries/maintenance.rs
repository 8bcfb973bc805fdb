//! Keeps the ledger small: data that is no longer visible is removed in bounded steps.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{BigInt, Binary},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{deleted_leaderboards, score_events},
        statement::statement,
    },
    Conn, Db, Failure, batch, jobs,
};
use crate::domain::{
    job::{NewJob, PruneKeys, SweepLeaderboard},
    leaderboard::Leaderboard,
    run::LONGEST_RUN,
    time::Timestamp,
};

statement!(
    Db, PruneReceipts { before: Binary = [u8], limit: BigInt = i64 } -> BigInt,
    "DELETE FROM receipts WHERE event_id IN (SELECT event_id FROM receipts WHERE event_id < ? ORDER BY event_id LIMIT ?)"
);

statement!(
    Db, PruneReceiptBatches { before: Binary = [u8], limit: BigInt = i64 } -> BigInt,
    "DELETE FROM receipt_batches WHERE id IN (SELECT id FROM receipt_batches WHERE id < ? ORDER BY id LIMIT ?)"
);

statement!(
    Db, SweepCorrections { pk: BigInt = i64, limit: BigInt = i64 } -> BigInt,
    "DELETE FROM corrections WHERE event_id IN (SELECT event_id FROM corrections WHERE leaderboard_pk = ? LIMIT ?)"
);

statement!(
    Db, SweepReviews { pk: BigInt = i64, limit: BigInt = i64 } -> BigInt,
    "DELETE FROM reviews WHERE (event_id, position) IN (SELECT event_id, position FROM reviews WHERE leaderboard_pk = ? LIMIT ?)"
);

statement!(
    Db, SweepEntries { pk: BigInt = i64, of: BigInt = i64, limit: BigInt = i64 } -> BigInt,
    "DELETE FROM entries WHERE leaderboard_pk = ? AND (season, user_id) IN \
     (SELECT season, user_id FROM entries WHERE leaderboard_pk = ? LIMIT ?)"
);

statement!(
    /// What was withheld of events that are gone.
    Db, SweepWithheld { after: Binary = [u8], to: Binary = [u8] } -> BigInt,
    "DELETE FROM withheld_events WHERE event_id > ? AND event_id <= ? \
     AND NOT EXISTS (SELECT 1 FROM score_events h WHERE h.event_id = withheld_events.event_id)"
);

statement!(
    Db, SweepSilent { after: Binary = [u8], to: Binary = [u8], pk: BigInt = i64 } -> BigInt,
    "DELETE FROM silent_events WHERE event_id > ? AND event_id <= ? AND leaderboard_pk = ?"
);

statement!(
    Db, SweepSanctions { pk: BigInt = i64 } -> BigInt,
    "DELETE FROM sanctions WHERE leaderboard_pk = ?"
);

/// Deletes old idempotency keys among the next ones; returns how many, and where to continue, if there is more.
pub async fn prune_keys(conn: &mut Conn, older_than: Timestamp, from: PruneKeys) -> Result<(usize, Option<PruneKeys>), Failure> {
    batch::prune_keys(conn, older_than, from).await
}

/// When keys of runs are old if other ones are older than this: a token is good for a day, whatever clocks say, and its key outlives it.
pub fn run_keys_before(created_before: Timestamp) -> Timestamp {
    created_before.plus_seconds(-LONGEST_RUN)
}

/// Deletes receipts of events from before a time, oldest first, up to `limit` rows of either kind; returns the number of rows.
pub async fn prune_receipts(conn: &mut Conn, older_than: Timestamp, limit: i64) -> Result<usize, Failure> {
    let before = &uuid_floor(older_than);
    let batches = PruneReceiptBatches { before, limit: &limit }.execute(conn).await?;
    Ok(batches + PruneReceipts { before, limit: &limit }.execute(conn).await?)
}

/// Adds a job to sweep the rows of a deleted leaderboard. Its history begins no earlier than its creation; event ids come from
/// the clocks of instances, which may differ by up to a day.
pub async fn leave_to_sweep(conn: &mut Conn, gone: &Leaderboard, now: Timestamp) -> Result<(), Failure> {
    let swept_to = Uuid::from_bytes(uuid_floor(gone.created_at.plus_seconds(-86_400)));
    jobs::add(conn, &NewJob::new(&SweepLeaderboard { pk: gone.pk, swept_to }, now), now).await?;
    Ok(())
}

/// The same for deletions that earlier releases recorded in a table of their own.
pub async fn adopt_deleted(conn: &mut Conn, now: Timestamp) -> Result<(), Failure> {
    let noted: Vec<(i64, Vec<u8>)> = deleted_leaderboards::table.load(conn).await?;
    for (pk, swept_to) in noted {
        // At the end it may be longer than an id.
        let swept_to = swept_to.first_chunk::<16>().map_or(Uuid::nil(), |id| Uuid::from_bytes(*id));
        jobs::add(conn, &NewJob::new(&SweepLeaderboard { pk, swept_to }, now), now).await?;
        diesel::delete(deleted_leaderboards::table.find(pk)).execute(conn).await?;
    }
    Ok(())
}

/// Removes up to `limit` entries, or scans `limit` rows of the history, of a deleted leaderboard. Returns what is left to do.
pub async fn sweep(conn: &mut Conn, from: SweepLeaderboard, limit: i64) -> Result<Option<SweepLeaderboard>, Failure> {
    let SweepLeaderboard { pk, swept_to } = from;
    if (SweepEntries { pk: &pk, of: &pk, limit: &limit }).execute(conn).await? > 0 {
        return Ok(Some(from));
    }
    if (SweepCorrections { pk: &pk, limit: &limit }).execute(conn).await? > 0 {
        return Ok(Some(from));
    }
    if (SweepReviews { pk: &pk, limit: &limit }).execute(conn).await? > 0 {
        return Ok(Some(from));
    }
    SweepSanctions { pk: &pk }.execute(conn).await?;
    let bite = end_of_bite(conn, swept_to, limit).await?;
    // 17 bytes of 0xff come after every event id.
    let end = bite.clone().unwrap_or(vec![0xff; 17]);
    let of_board = score_events::table.filter(score_events::leaderboard_pk.eq(pk));
    let after = score_events::event_id.gt(swept_to.as_bytes().as_slice());
    diesel::delete(of_board.filter(after.and(score_events::event_id.le(&end)))).execute(conn).await?;
    SweepWithheld { after: swept_to.as_bytes(), to: &end }.execute(conn).await?;
    SweepSilent { after: swept_to.as_bytes(), to: &end, pk: &pk }.execute(conn).await?;
    let next = bite.map(|end| Uuid::from_slice(&end)).transpose().map_err(Failure::corrupt)?;
    Ok(next.map(|swept_to| SweepLeaderboard { pk, swept_to }))
}

/// The least bytes that a UUID v7 of this moment or later can have.
fn uuid_floor(moment: Timestamp) -> [u8; 16] {
    let millis = moment.0.max(0).unsigned_abs() / 1000;
    (u128::from(millis) << 80).to_be_bytes()
}

/// The last of the next `limit` rows of the history after this event; `None` if fewer are left. A whole event belongs to the
/// step in which its first row is.
pub async fn end_of_bite(conn: &mut Conn, after: Uuid, limit: i64) -> Result<Option<Vec<u8>>, Failure> {
    let end = score_events::table
        .filter(score_events::event_id.gt(after.as_bytes().as_slice()))
        .order((score_events::event_id, score_events::position))
        .offset(limit.max(1) - 1)
        .select(score_events::event_id);
    Ok(end.first(conn).await.optional()?)
}
