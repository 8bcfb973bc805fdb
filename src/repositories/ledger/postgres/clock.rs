//! The ledger's clock on PostgreSQL: the server's, which is the same for every instance.

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::{super::statement::statement, Conn, Db, Failure};
use crate::domain::time::Timestamp;

statement!(
    Db, ReadClock { ticks: BigInt = i64 } -> BigInt,
    "SELECT (extract(epoch FROM clock_timestamp()) * ?)::bigint"
);

const MICROSECONDS: i64 = 1_000_000;

/// The present time. `_own` is the caller's.
pub async fn now(conn: &mut Conn, _own: Timestamp) -> Result<Timestamp, Failure> {
    Ok(Timestamp(ReadClock { ticks: &MICROSECONDS }.get_result(conn).await?))
}
