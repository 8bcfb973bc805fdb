//! The permanent history of accepted submissions, and the check that it adds up. `events.rs` selects what readers see of it.

use std::collections::HashMap;

use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable, QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::schema::{leaderboards, score_events, users},
    Conn, Failure, corrections, evidence,
    leaderboards::order,
};
use crate::domain::{
    announcement::Change,
    entry::DisplayName,
    ids::{ActionId, LeaderboardId, UserId},
    leaderboard::Board,
    submission::{Accepted, EntryOutcome},
    time::Timestamp,
};

/// A row as a receipt shows it.
#[derive(Queryable)]
struct OutcomeRow {
    pk: i64,
    season: i64,
    sort_order: String,
    leaderboard_id: String,
    applied: bool,
    previous_score: Option<i64>,
    new_score: i64,
    delta: i64,
    revision: i64,
}

/// The columns of a [`OutcomeRow`].
macro_rules! outcome_columns {
    () => {
        (
            score_events::leaderboard_pk,
            score_events::season,
            leaderboards::sort_order,
            score_events::leaderboard_id,
            score_events::applied,
            score_events::previous_score,
            score_events::new_score,
            score_events::delta,
            score_events::revision,
        )
    };
}

/// An event beside its outcome, with its user's name.
#[derive(Queryable)]
struct EventRow {
    event_id: Vec<u8>,
    user_id: String,
    action_id: String,
    at: i64,
    display_name: Option<String>,
    name_revision: Option<i64>,
}

/// The changes to announce to a ranking for the revisions of an entry between two others, in their order; see
/// [`evidence::between`].
pub async fn changes_between(
    conn: &mut Conn,
    board: Board,
    user: &UserId,
    after: i64,
    before: i64,
) -> Result<Vec<Change>, Failure> {
    let ids = evidence::between(conn, board, user, after, before).await?;
    let mut changes = changes(conn, &ids).await?;
    changes.extend(corrections::changes(conn, &ids).await?);
    changes.retain(|change| change.board.pk == board.pk);
    changes.sort_by_key(|change| change.revision);
    Ok(changes)
}

/// The changes to announce to the ranking for these events, in their order; see [`committed`].
pub async fn changes(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Change>, Failure> {
    Ok(committed(conn, ids).await?.1)
}

/// Committed submissions, assembled again from their rows, in the requested order, and the changes to announce to the ranking:
/// one for each standing that was applied. Leaderboards that were deleted since are left out, and so are submissions with none
/// left; names are the present ones, which are the same or newer.
pub async fn committed(conn: &mut Conn, ids: &[Uuid]) -> Result<(Vec<Accepted>, Vec<Change>), Failure> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let mut rows: Vec<(EventRow, OutcomeRow)> = score_events::table
        .inner_join(leaderboards::table.on(leaderboards::pk.eq(score_events::leaderboard_pk)))
        .left_join(users::table.on(users::id.eq(score_events::user_id)))
        .filter(score_events::event_id.eq_any(&ids))
        .order((score_events::event_id, score_events::position))
        .select((
            (
                score_events::event_id,
                score_events::user_id,
                score_events::action_id,
                score_events::at,
                users::display_name.nullable(),
                users::revision.nullable(),
            ),
            outcome_columns!(),
        ))
        .load(conn)
        .await?;
    let turns: HashMap<&[u8], usize> = ids.iter().enumerate().map(|(turn, id)| (*id, turn)).collect();
    // Stable: the leaderboards of one event stay in the action's order.
    rows.sort_by_key(|(event, _)| turns.get(event.event_id.as_slice()).copied());

    let (mut accepted, mut changes): (Vec<Accepted>, Vec<Change>) = (Vec::new(), Vec::with_capacity(rows.len()));
    for (event, outcome) in rows {
        let (event_id, at) = (Uuid::from_slice(&event.event_id).map_err(Failure::corrupt)?, Timestamp(event.at));
        let user_id = UserId::parse(&event.user_id).map_err(Failure::corrupt)?;
        let action_id = ActionId::parse(&event.action_id).map_err(Failure::corrupt)?;
        let standing = entry_outcome(outcome)?;
        if standing.applied {
            let name = DisplayName { name: event.display_name, revision: event.name_revision.unwrap_or_default() };
            changes.push(Change::new(event_id, &user_id, &action_id, at, &standing, name));
        }
        match accepted.last_mut().filter(|last| last.event_id == event_id) {
            Some(last) => last.standings.push(standing),
            None => {
                let standings = vec![standing];
                accepted.push(Accepted { event_id, action_id, user_id, at, standings, receipt_batch: None });
            }
        }
    }
    Ok((accepted, changes))
}

fn entry_outcome(row: OutcomeRow) -> Result<EntryOutcome, Failure> {
    Ok(EntryOutcome {
        leaderboard_id: LeaderboardId::parse(&row.leaderboard_id).map_err(Failure::corrupt)?,
        board: Board { pk: row.pk, season: row.season, order: order(&row.sort_order)? },
        applied: row.applied,
        previous_score: row.previous_score,
        new_score: row.new_score,
        delta: row.delta,
        revision: row.revision,
        points: None,
    })
}

#[derive(QueryableByName)]
struct Mismatch {
    #[diesel(sql_type = sql_types::Text)]
    user_id: String,
    #[diesel(sql_type = sql_types::Text)]
    what: String,
}

/// Compares every entry of a board with its history. Whatever the operator, a user's applied events form a chain: each begins
/// at the score where the one before it ended, their number is the entry's revision, and the last one holds the entry's score
/// and time.
///
/// `$1` and `$2` mean the same to both engines, as long as they appear in this order.
const MISMATCHES: &str = "\
WITH board AS (SELECT $1 AS pk, $2 AS season, $3 AS sign), \
changes AS ( \
  SELECT h.user_id, h.revision, h.delta, h.previous_score, h.new_score, h.at \
  FROM score_events h JOIN board ON h.leaderboard_pk = board.pk AND h.season = board.season WHERE h.applied \
  UNION ALL \
  SELECT c.user_id, c.revision, coalesce(c.new_score - c.previous_score, 0), c.previous_score, c.new_score, c.at \
  FROM corrections c JOIN board ON c.leaderboard_pk = board.pk AND c.season = board.season), \
chain AS ( \
  SELECT h.*, lag(h.new_score) OVER turn AS before, lead(h.revision) OVER turn AS next \
  FROM changes h WINDOW turn AS (PARTITION BY h.user_id ORDER BY h.revision)), \
told AS ( \
  SELECT user_id, count(*) AS changes, min(revision) AS first, max(revision) AS last, \
    max(CASE WHEN next IS NULL THEN new_score END) AS score, max(CASE WHEN next IS NULL THEN at END) AS at, \
    sum(CASE WHEN previous_score IS DISTINCT FROM before OR (new_score IS NOT NULL AND new_score - coalesce(previous_score, 0) <> delta) \
      THEN 1 ELSE 0 END) AS breaks \
  FROM chain GROUP BY user_id), \
held AS (SELECT e.*, board.sign, CASE WHEN e.sort_score < 9223372036854775807 THEN e.score END AS shown FROM entries e JOIN board ON e.leaderboard_pk = board.pk AND e.season = board.season), \
checked AS ( \
  SELECT held.user_id, \
    CASE WHEN told.user_id IS NULL THEN 'has an entry but no history' \
         WHEN told.first <> 1 OR told.changes <> told.last THEN 'the history has a hole' \
         WHEN told.last <> held.revision THEN 'the revision is not the number of changes' \
         WHEN told.breaks <> 0 THEN 'the history does not add up' \
         WHEN told.score IS DISTINCT FROM held.shown THEN 'the history ends at another score' \
         WHEN told.at <> held.reached_at THEN 'the history ends at another time' \
         WHEN held.sort_score <> held.sign * held.shown THEN 'the entry is sorted by another score than its own' END AS what \
  FROM held LEFT JOIN told ON told.user_id = held.user_id \
  UNION ALL \
  SELECT told.user_id, 'has a history but no entry' FROM told LEFT JOIN held ON held.user_id = told.user_id WHERE held.user_id IS NULL) \
SELECT user_id, what FROM checked WHERE what IS NOT NULL ORDER BY 1 LIMIT $4";

/// Entries that differ from the sum of their history, one sentence each.
pub async fn mismatches(conn: &mut Conn, board: Board, limit: i64) -> Result<Vec<String>, Failure> {
    let rows: Vec<Mismatch> = diesel::sql_query(MISMATCHES)
        .bind::<sql_types::BigInt, _>(board.pk)
        .bind::<sql_types::BigInt, _>(board.season)
        .bind::<sql_types::BigInt, _>(board.order.sort_score(1))
        .bind::<sql_types::BigInt, _>(limit)
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|row| format!("{:?}: {}", row.user_id, row.what)).collect())
}
