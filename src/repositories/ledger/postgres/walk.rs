//! Index walks on PostgreSQL: readers' queries, each as one statement.

use diesel::sql_types::{Array, BigInt, Binary, Text};
use diesel_async::RunQueryDsl;

use super::{super::statement::statement, Conn, Db, Failure};
use crate::domain::ids::UserId;

statement!(
    Db, NewestEvents { boards: Array<BigInt> = [i64], user: Text = str, before: Binary = [u8], limit: BigInt = i64 } -> Binary,
    "SELECT h.event_id FROM unnest(?) AS b(pk) CROSS JOIN LATERAL \
     (SELECT event_id FROM score_events h \
      WHERE h.user_id = ? AND h.leaderboard_pk >= b.pk AND (h.leaderboard_pk, h.event_id) < (b.pk, ?) \
      ORDER BY h.leaderboard_pk DESC, h.event_id DESC LIMIT ?) h"
);

/// The user's newest events before `before` in each of these leaderboards, up to `limit` of each, in any order.
pub async fn newest(conn: &mut Conn, user: &UserId, boards: &[i64], before: &[u8], limit: i64) -> Result<Vec<Vec<u8>>, Failure> {
    Ok(NewestEvents { boards, user: user.as_str(), before, limit: &limit }.load(conn).await?)
}
