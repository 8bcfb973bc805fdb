//! Index walks on SQLite: readers' queries, in a loop of prepared statements.

use std::collections::HashMap;

use diesel::sql_types::{BigInt, Binary, Bool, Text};
use diesel_async::RunQueryDsl;

use super::{super::statement::statement, Conn, Db, Failure};
use crate::domain::{ids::UserId, leaderboard::Board};

statement!(
    Db, NewestEvents { user: Text = str, board: BigInt = i64, before: Binary = [u8], withheld: Bool = bool, limit: BigInt = i64 } -> Binary,
    "SELECT h.event_id FROM score_events h WHERE h.user_id = ? AND h.leaderboard_pk = ? AND h.event_id < ? \
     AND (? OR (NOT EXISTS (SELECT 1 FROM withheld_events w WHERE w.event_id = h.event_id) \
     AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.leaderboard_pk = h.leaderboard_pk AND c.season = h.season AND c.user_id = h.user_id \
     AND c.revision >= h.revision AND c.cause = 'removed'))) ORDER BY h.event_id DESC LIMIT ?"
);

/// Users' ranks in an ended season: a statement costs no round trip here, so they are counted one by one.
pub async fn archived_ranks(_: &mut Conn, _: Board, _: &[&str]) -> Result<Option<HashMap<String, u64>>, Failure> {
    Ok(None)
}

/// The user's newest events before `before` in each of these leaderboards, up to `limit` of each, in any order; what is withheld
/// only if that is asked for.
pub async fn newest(
    conn: &mut Conn,
    user: &UserId,
    boards: &[i64],
    before: &[u8],
    withheld: bool,
    limit: i64,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut events = Vec::new();
    for board in boards {
        let newest = NewestEvents { user: user.as_str(), board, before, withheld: &withheld, limit: &limit };
        events.extend(newest.load::<Vec<u8>>(conn).await?);
    }
    Ok(events)
}
