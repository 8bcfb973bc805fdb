//! Index walks on SQLite, of readers and of what a commit asks rarely, in a loop of prepared statements.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::{super::statement::statement, Conn, Db, Failure};
use crate::domain::{
    ids::{ActionId, UserId},
    leaderboard::Board,
    review::GAIN_EVENTS,
    time::Timestamp,
};

/// A use of an action whose gain is watched: user, action, time, value.
pub type GainRow = (String, String, i64, Option<i64>);

statement!(
    /// The uses that a gain is made of, each with the value of its submission, if it had one and is not swept.
    Db, FindGains { user: Text = str, action: Text = str, since: BigInt = i64, limit: BigInt = i64 } -> (BigInt, Nullable<BigInt>),
    "SELECT u.at, h.value FROM (SELECT at, event_id FROM action_uses WHERE user_id = ? AND action_id = ? AND at > ? \
     ORDER BY at DESC LIMIT ?) u LEFT JOIN score_events h ON h.event_id = u.event_id AND h.position = 0"
);

/// The uses of actions whose gain is watched, the newest of each user and action, for the commit of a batch.
pub async fn gains(conn: &mut Conn, of: &BTreeMap<(&UserId, &ActionId), Timestamp>) -> Result<Vec<GainRow>, Failure> {
    let mut found = Vec::new();
    for ((user, action), since) in of {
        let find = FindGains { user: user.as_str(), action: action.as_str(), since: &since.0, limit: &GAIN_EVENTS };
        let uses: Vec<(i64, Option<i64>)> = find.load(conn).await?;
        found.extend(uses.into_iter().map(|(at, value)| (user.to_string(), action.to_string(), at, value)));
    }
    Ok(found)
}

statement!(
    Db, NewestEvents { user: Text = str, board: BigInt = i64, before: Binary = [u8], withheld: Bool = bool, limit: BigInt = i64 } -> Binary,
    "SELECT h.event_id FROM score_events h WHERE h.user_id = ? AND h.leaderboard_pk = ? AND h.event_id < ? \
     AND (? OR (NOT EXISTS (SELECT 1 FROM withheld_events w WHERE w.event_id = h.event_id) \
     AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.leaderboard_pk = h.leaderboard_pk AND c.season = h.season AND c.user_id = h.user_id \
     AND c.revision > h.revision AND c.cause = 'removed'))) ORDER BY h.event_id DESC LIMIT ?"
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
