//! The outbox: what was committed and has yet to be told.

use diesel::{ExpressionMethods, QueryDsl, sql_types::BigInt, sql_types::Text};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{schema::outbox, statement::statement},
    Conn, Db, Failure, batch, history,
};
use crate::domain::{announcement::Announcement, time::Timestamp};

/// How far, in seconds, the clocks of instances may be apart before the times of one count for nothing with another. More than the age
/// of a row that is due and the length of a claim together.
const CLOCKS_APART: i64 = 15;

statement!(
    /// Adds a row that nobody has claimed.
    Db, AddToOutbox { created_at: BigInt = i64, payload: Text = str } -> BigInt,
    "INSERT INTO outbox (created_at, claimed_until, payload) VALUES (?, 0, ?) RETURNING id"
);

statement!(
    /// Claims what is due. Rows that another sweeper is claiming at this moment are passed over, not waited for.
    Db, ClaimDue {
        claimed_until: BigInt = i64, created_before: BigInt = i64, created_beyond: BigInt = i64, free_since: BigInt = i64,
        free_beyond: BigInt = i64, limit: BigInt = i64,
    } -> (BigInt, Text),
    format!(
        "UPDATE outbox SET claimed_until = ? WHERE id IN (SELECT id FROM outbox \
         WHERE (created_at <= ? OR created_at > ?) AND (claimed_until <= ? OR claimed_until > ?) ORDER BY id LIMIT ? {}) \
         RETURNING id, payload",
        batch::SKIP_CLAIMED
    )
);

/// Adds a row; answers its id.
pub async fn add(conn: &mut Conn, now: Timestamp, announcement: &Announcement) -> Result<i64, Failure> {
    let payload = serde_json::to_string(announcement).map_err(Failure::corrupt)?;
    Ok(AddToOutbox { created_at: &now.0, payload: &payload }.get_result(conn).await?)
}

/// Claims up to `limit` rows that are older and unclaimed, oldest first. The claim lapses after `CLAIM_SECONDS`.
pub async fn due(conn: &mut Conn, older_than: Timestamp, limit: i64) -> Result<Vec<(i64, Announcement)>, Failure> {
    // Claims are kept on the caller's scale, which lags the clock by a fixed age; so they lapse after just this long.
    let claimed_until = older_than.plus_seconds(super::super::super::outbox::CLAIM_SECONDS).0;
    // Times that lie so far ahead were written by a clock that was wrong, or before this one was set back. Who wrote them may be dead, and
    // nobody is to wait until the time has come.
    let beyond = older_than.plus_seconds(CLOCKS_APART).0;
    let claim = ClaimDue {
        claimed_until: &claimed_until,
        created_before: &older_than.0,
        created_beyond: &beyond,
        free_since: &older_than.0,
        free_beyond: &beyond,
        limit: &limit,
    };
    let mut rows: Vec<(i64, String)> = claim.load(conn).await?;
    rows.sort_by_key(|(id, _)| *id);
    let mut due = Vec::with_capacity(rows.len());
    for (id, payload) in rows {
        match serde_json::from_str(&payload) {
            Ok(Announcement::Events { ids }) => {
                due.push((id, Announcement::Scores { changes: history::changes(conn, &ids).await? }))
            }
            Ok(announcement) => due.push((id, announcement)),
            // One row that nobody can read must not hold up those behind it.
            Err(error) => tracing::error!(id, %error, "an outbox row is not understood and stays"),
        }
    }
    Ok(due)
}

/// Removes rows that were told.
pub async fn done(conn: &mut Conn, ids: &[i64]) -> Result<(), Failure> {
    diesel::delete(outbox::table.filter(outbox::id.eq_any(ids))).execute(conn).await?;
    Ok(())
}

/// How many rows there are.
pub async fn len(conn: &mut Conn) -> Result<i64, Failure> {
    Ok(outbox::table.count().get_result(conn).await?)
}
