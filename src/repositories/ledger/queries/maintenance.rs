//! Keeping the ledger small: what nobody can see any more is removed in bounded bites.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{BigInt, Binary},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        maintenance::KeysCursor,
        schema::{deleted_leaderboards, score_events},
        statement::statement,
    },
    Conn, Db, Failure, batch,
};
use crate::domain::{leaderboard::Leaderboard, time::Timestamp};

statement!(
    Db, PruneReceipts { before: Binary = [u8], limit: BigInt = i64 } -> BigInt,
    "DELETE FROM receipts WHERE event_id IN (SELECT event_id FROM receipts WHERE event_id < ? ORDER BY event_id LIMIT ?)"
);

statement!(
    Db, PruneReceiptBatches { before: Binary = [u8], limit: BigInt = i64 } -> BigInt,
    "DELETE FROM receipt_batches WHERE id IN (SELECT id FROM receipt_batches WHERE id < ? ORDER BY id LIMIT ?)"
);

statement!(
    /// The next leaderboard to sweep, unless another instance is at it.
    Db, ClaimDeleted { limit: BigInt = i64 } -> (BigInt, Binary),
    format!("SELECT pk, swept_to FROM deleted_leaderboards ORDER BY pk LIMIT ? {}", batch::SKIP_CLAIMED)
);

statement!(
    Db, SweepEntries { pk: BigInt = i64, of: BigInt = i64, limit: BigInt = i64 } -> BigInt,
    "DELETE FROM entries WHERE leaderboard_pk = ? AND (season, user_id) IN \
     (SELECT season, user_id FROM entries WHERE leaderboard_pk = ? LIMIT ?)"
);

/// Forgets old idempotency keys among the next ones; answers how many, and where to go on, if there is more.
pub async fn prune_keys(
    conn: &mut Conn,
    older_than: Timestamp,
    from: KeysCursor,
) -> Result<(usize, Option<KeysCursor>), Failure> {
    batch::prune_keys(conn, older_than, from).await
}

/// Forgets receipts of events from before a time, oldest first, up to `limit` rows of either kind; answers how many rows.
pub async fn prune_receipts(conn: &mut Conn, older_than: Timestamp, limit: i64) -> Result<usize, Failure> {
    let before = &uuid_floor(older_than);
    let batches = PruneReceiptBatches { before, limit: &limit }.execute(conn).await?;
    Ok(batches + PruneReceipts { before, limit: &limit }.execute(conn).await?)
}

/// Notes that the rows of a deleted leaderboard are to be swept. Its history begins no earlier than it was made; event ids are made by
/// the clocks of instances, which are allowed to be a day off.
pub async fn leave_to_sweep(conn: &mut Conn, gone: &Leaderboard) -> Result<(), Failure> {
    let from = uuid_floor(gone.created_at.plus_seconds(-86_400));
    let row = (deleted_leaderboards::pk.eq(gone.pk), deleted_leaderboards::swept_to.eq(from.as_slice()));
    diesel::insert_into(deleted_leaderboards::table).values(row).execute(conn).await?;
    Ok(())
}

/// Removes up to `limit` entries, or looks through `limit` rows of the history, of a leaderboard that was deleted. Answers whether
/// there is more to do.
pub async fn sweep(conn: &mut Conn, limit: i64) -> Result<bool, Failure> {
    let Some((pk, swept_to)) = ClaimDeleted { limit: &1 }.get_result::<(i64, Vec<u8>)>(conn).await.optional()? else {
        return Ok(false);
    };
    if (SweepEntries { pk: &pk, of: &pk, limit: &limit }).execute(conn).await? > 0 {
        return Ok(true);
    }
    let bite: Option<Vec<u8>> = score_events::table
        .filter(score_events::event_id.gt(&swept_to))
        .order((score_events::event_id, score_events::position))
        .offset(limit.max(1) - 1)
        .select(score_events::event_id)
        .first(conn)
        .await
        .optional()?;
    // 17 bytes of 0xff come after every event id.
    let end = bite.clone().unwrap_or(vec![0xff; 17]);
    let of_board = score_events::table.filter(score_events::leaderboard_pk.eq(pk));
    let within = of_board.filter(score_events::event_id.gt(&swept_to).and(score_events::event_id.le(&end)));
    diesel::delete(within).execute(conn).await?;
    let row = deleted_leaderboards::table.find(pk);
    match bite {
        Some(end) => diesel::update(row).set(deleted_leaderboards::swept_to.eq(end)).execute(conn).await?,
        None => diesel::delete(row).execute(conn).await?,
    };
    Ok(true)
}

/// The bytes that no UUID v7 of this moment or later comes before.
fn uuid_floor(moment: Timestamp) -> [u8; 16] {
    let millis = moment.0.max(0).unsigned_abs() / 1000;
    (u128::from(millis) << 80).to_be_bytes()
}
