//! Keeping the ledger small: what nobody can see any more is removed in bounded bites.

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::{super::super::statement::statement, Conn, Db, Failure};
use crate::domain::{leaderboard::Leaderboard, time::Timestamp};

statement!(
    Db, PruneKeys { created_before: BigInt = i64, limit: BigInt = i64 } -> BigInt,
    "DELETE FROM idempotency_keys WHERE (subject, key) IN \
     (SELECT subject, key FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT ?)"
);

/// Forgets idempotency keys from before a time, oldest first; answers how many.
pub async fn prune_keys(conn: &mut Conn, older_than: Timestamp, limit: i64) -> Result<usize, Failure> {
    Ok(PruneKeys { created_before: &older_than.0, limit: &limit }.execute(conn).await?)
}

/// Notes that the rows of a deleted leaderboard are to be swept.
pub async fn leave_to_sweep(_conn: &mut Conn, _gone: &Leaderboard) -> Result<(), Failure> {
    Ok(())
}
