//! Index walks on PostgreSQL, of readers and of what a commit asks rarely, each as one statement.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};
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
    Db, FindGains { users: Array<Text> = [&'a str], actions: Array<Text> = [&'a str], since: Array<BigInt> = [i64], limit: BigInt = i64 }
    -> (Text, Text, BigInt, Nullable<BigInt>),
    "SELECT n.id, n.action, u.at, h.value FROM unnest(?, ?, ?) AS n(id, action, since) CROSS JOIN LATERAL \
     (SELECT at, event_id FROM action_uses WHERE user_id = n.id AND action_id = n.action AND at > n.since ORDER BY at DESC LIMIT ?) u \
     LEFT JOIN score_events h ON h.event_id = u.event_id AND h.position = 0"
);

/// The uses of actions whose gain is watched, the newest of each user and action, for the commit of a batch.
pub async fn gains(conn: &mut Conn, of: &BTreeMap<(&UserId, &ActionId), Timestamp>) -> Result<Vec<GainRow>, Failure> {
    let users: Vec<&str> = of.keys().map(|(user, _)| user.as_str()).collect();
    let actions: Vec<&str> = of.keys().map(|(_, action)| action.as_str()).collect();
    let since: Vec<i64> = of.values().map(|since| since.0).collect();
    Ok(FindGains { users: &users, actions: &actions, since: &since, limit: &GAIN_EVENTS }.load(conn).await?)
}

statement!(
    Db, NewestEvents { boards: Array<BigInt> = [i64], user: Text = str, before: Binary = [u8], withheld: Bool = bool, limit: BigInt = i64 } -> Binary,
    "SELECT h.event_id FROM unnest(?) AS b(pk) CROSS JOIN LATERAL \
     (SELECT event_id FROM score_events h \
      WHERE h.user_id = ? AND h.leaderboard_pk >= b.pk AND (h.leaderboard_pk, h.event_id) < (b.pk, ?) \
      AND (? OR (NOT EXISTS (SELECT 1 FROM withheld_events w WHERE w.event_id = h.event_id) \
      AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.leaderboard_pk = h.leaderboard_pk AND c.season = h.season AND c.user_id = h.user_id \
      AND c.revision > h.revision AND c.cause = 'removed'))) \
      ORDER BY h.leaderboard_pk DESC, h.event_id DESC LIMIT ?) h"
);

statement!(
    /// Users' ranks in an ended season, each counted from the last mark before it.
    Db, ArchivedRanks { users: Array<Text> = [&'a str], board: BigInt = i64, season: BigInt = i64 } -> (Text, BigInt),
    "SELECT e.user_id, coalesce(m.ahead, 0) + 1 + (SELECT count(*) FROM entries a \
       WHERE abs(a.leaderboard_pk) = e.leaderboard_pk AND abs(a.season) = e.season \
       AND (a.sort_score, a.reached_at, a.user_id) < (e.sort_score, e.reached_at, e.user_id) \
       AND (a.sort_score, a.reached_at, a.user_id) > \
         (coalesce(m.sort_score, -9223372036854775808), coalesce(m.reached_at, 0), coalesce(m.user_id, ''))) \
     FROM unnest(?) AS n(id) \
     JOIN entries e ON e.leaderboard_pk = ? AND e.season = ? AND e.user_id = n.id AND e.sort_score < 9223372036854775807 \
     LEFT JOIN LATERAL (SELECT k.ahead, k.sort_score, k.reached_at, k.user_id FROM season_marks k \
       WHERE k.leaderboard_pk = e.leaderboard_pk AND k.season = e.season \
       AND (k.sort_score, k.reached_at, k.user_id) < (e.sort_score, e.reached_at, e.user_id) \
       ORDER BY k.sort_score DESC, k.reached_at DESC, k.user_id DESC LIMIT 1) m ON true"
);

/// Users' ranks in an ended season, all by one statement; `None` if they are better counted one by one.
pub async fn archived_ranks(conn: &mut Conn, board: Board, users: &[&str]) -> Result<Option<HashMap<String, u64>>, Failure> {
    let rows: Vec<(String, i64)> = ArchivedRanks { users, board: &board.pk, season: &board.season }.load(conn).await?;
    Ok(Some(rows.into_iter().map(|(user, rank)| (user, rank.unsigned_abs())).collect()))
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
    Ok(NewestEvents { boards, user: user.as_str(), before, withheld: &withheld, limit: &limit }.load(conn).await?)
}
