//! Checks that history, entries and seasons of a leaderboard agree.

use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;

use super::{Conn, Failure, targets};
use crate::domain::{fold::fold, ids::UserId};

#[derive(QueryableByName)]
struct Mismatch {
    #[diesel(sql_type = sql_types::BigInt)]
    season: i64,
    #[diesel(sql_type = sql_types::Text)]
    user_id: String,
    #[diesel(sql_type = sql_types::Text)]
    what: String,
}

/// Compares every entry of every season of a leaderboard with its history. Whatever the operator, a user's applied events in a
/// season form a chain: each begins at the score where the one before it ended, their number is the entry's revision, and the
/// last one holds the entry's score and time. All of them lie in their season; those of the first one may be from before its
/// beginning, because earlier releases went by the clocks of instances. A review withholds what it has not approved, and nothing else.
///
/// `$1` and `$2` mean the same to both engines, as long as they appear in this order.
const MISMATCHES: &str = "\
WITH board AS (SELECT pk, sort_order FROM leaderboards WHERE pk = $1), \
spans AS ( \
  SELECT s.season, s.cause, s.starts_at, s.ends_at, s.sort_order FROM seasons s JOIN board ON s.leaderboard_pk = board.pk), \
changes AS ( \
  SELECT h.season, h.user_id, h.revision, h.delta, h.previous_score, h.new_score, h.at \
  FROM score_events h JOIN board ON h.leaderboard_pk = board.pk WHERE h.applied \
  UNION ALL \
  SELECT c.season, c.user_id, c.revision, coalesce(c.new_score - coalesce(c.previous_score, 0), 0), c.previous_score, c.new_score, c.at \
  FROM corrections c JOIN board ON c.leaderboard_pk = board.pk), \
chain AS ( \
  SELECT h.*, lag(h.new_score) OVER turn AS before, lead(h.revision) OVER turn AS next \
  FROM changes h WINDOW turn AS (PARTITION BY h.season, h.user_id ORDER BY h.revision)), \
said AS ( \
  SELECT season, user_id, count(*) AS changes, min(revision) AS first, max(revision) AS last, \
    max(CASE WHEN next IS NULL THEN new_score END) AS score, max(CASE WHEN next IS NULL THEN at END) AS at, \
    sum(CASE WHEN previous_score IS DISTINCT FROM before OR (new_score IS NOT NULL AND new_score - coalesce(previous_score, 0) <> delta) \
      THEN 1 ELSE 0 END) AS breaks \
  FROM chain GROUP BY season, user_id), \
held AS ( \
  SELECT e.*, CASE WHEN coalesce(spans.sort_order, board.sort_order) = 'desc' THEN -1 ELSE 1 END AS sign, \
    CASE WHEN e.sort_score < 9223372036854775807 OR e.hidden THEN e.score END AS shown \
  FROM entries e JOIN board ON e.leaderboard_pk = board.pk LEFT JOIN spans ON spans.season = e.season), \
checked AS ( \
  SELECT held.season, held.user_id, \
    CASE WHEN said.user_id IS NULL THEN 'has an entry but no history' \
         WHEN said.first <> 1 OR said.changes <> said.last THEN 'the history has a hole' \
         WHEN said.last <> held.revision THEN 'the revision is not the number of changes' \
         WHEN said.breaks <> 0 THEN 'the history does not add up' \
         WHEN said.score IS DISTINCT FROM held.shown THEN 'the history ends at another score' \
         WHEN said.at <> held.reached_at THEN 'the history ends at another time' \
         WHEN held.hidden AND held.sort_score < 9223372036854775807 THEN 'the entry is hidden, and in its ranking' \
         WHEN NOT held.hidden AND held.sort_score <> held.sign * held.shown THEN 'the entry is sorted by another score than its own' END AS what \
  FROM held LEFT JOIN said ON said.season = held.season AND said.user_id = held.user_id \
  UNION ALL \
  SELECT said.season, said.user_id, 'has a history but no entry' FROM said \
  LEFT JOIN held ON held.season = said.season AND held.user_id = said.user_id WHERE held.user_id IS NULL \
  UNION ALL \
  SELECT h.season, h.user_id, 'a score lies outside its season' FROM score_events h JOIN board ON h.leaderboard_pk = board.pk \
  JOIN spans ON spans.season = h.season WHERE h.at >= spans.ends_at OR (h.at < spans.starts_at AND spans.cause <> 'created') \
  UNION ALL \
  SELECT r.season, r.user_id, 'a score is withheld and its review says that it counts, or the other way round' \
  FROM reviews r JOIN board ON r.leaderboard_pk = board.pk WHERE (r.state = 'approved') = \
    EXISTS (SELECT 1 FROM withheld_events w WHERE w.event_id = r.event_id AND w.decision_id = r.event_id)) \
SELECT season, user_id, what FROM checked WHERE what IS NOT NULL ORDER BY 1, 2 LIMIT $2";

/// Entries that were corrected, or of which score events are withheld: only those may differ from what their own history says.
const CORRECTED: &str = "\
SELECT season, user_id FROM corrections WHERE leaderboard_pk = $1 \
UNION \
SELECT h.season, h.user_id FROM withheld_events w JOIN score_events h ON h.event_id = w.event_id WHERE h.leaderboard_pk = $2 ORDER BY 1, 2";

#[derive(QueryableByName)]
struct Corrected {
    #[diesel(sql_type = sql_types::BigInt)]
    season: i64,
    #[diesel(sql_type = sql_types::Text)]
    user_id: String,
}

/// Entries that are not the fold of their score events that count.
async fn misfolded(conn: &mut Conn, pk: i64, limit: i64) -> Result<Vec<String>, Failure> {
    let corrected = diesel::sql_query(CORRECTED).bind::<sql_types::BigInt, _>(pk).bind::<sql_types::BigInt, _>(pk);
    let mut found = Vec::new();
    for Corrected { season, user_id } in corrected.load(conn).await? {
        let user = UserId::parse(&user_id).map_err(Failure::corrupt)?;
        let Some(target) = targets::find(conn, &(pk, season, user)).await? else { continue };
        let folded = fold(target.season.rules, targets::log(conn, &target).await?);
        let held = target.entry.and_then(|entry| Some((entry.score?, entry.reached_at)));
        if folded != held {
            found.push(format!("season {season}, {user_id:?}: the entry is not what its events that count add up to"));
        }
        if found.len() as i64 >= limit {
            break;
        }
    }
    Ok(found)
}

/// Up to `limit` differences, one sentence each.
pub async fn mismatches(conn: &mut Conn, pk: i64, limit: i64) -> Result<Vec<String>, Failure> {
    let rows: Vec<Mismatch> =
        diesel::sql_query(MISMATCHES).bind::<sql_types::BigInt, _>(pk).bind::<sql_types::BigInt, _>(limit).load(conn).await?;
    let mut found: Vec<String> =
        rows.into_iter().map(|row| format!("season {}, {:?}: {}", row.season, row.user_id, row.what)).collect();
    if (found.len() as i64) < limit {
        found.extend(misfolded(conn, pk, limit - found.len() as i64).await?);
    }
    Ok(found)
}
