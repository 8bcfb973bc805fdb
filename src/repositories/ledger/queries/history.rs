//! The permanent history of accepted submissions. `events.rs` selects what readers see of it, `verification.rs` checks that it
//! adds up.

use std::collections::HashMap;

use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::schema::{leaderboards, score_events, seasons, users},
    Conn, Failure, corrections, evidence,
    leaderboards::order,
    reviews, sanctions,
    users::{ShownColumns, shown, shown_columns},
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
    /// That of the season, if it has ended: the leaderboard's may be another one now.
    season_order: Option<String>,
    leaderboard_id: String,
    applied: bool,
    previous_score: Option<i64>,
    new_score: i64,
    delta: i64,
    revision: i64,
    /// That of an adjustment; `None` for a submission.
    kind: Option<String>,
}

/// The columns of a [`OutcomeRow`].
macro_rules! outcome_columns {
    () => {
        (
            score_events::leaderboard_pk,
            score_events::season,
            leaderboards::sort_order,
            seasons::sort_order.nullable(),
            score_events::leaderboard_id,
            score_events::applied,
            score_events::previous_score,
            score_events::new_score,
            score_events::delta,
            score_events::revision,
            score_events::kind,
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
    shown: ShownColumns,
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
/// left; names are the present ones, which are the same or newer. Adjustments are among the changes only.
pub async fn committed(conn: &mut Conn, ids: &[Uuid]) -> Result<(Vec<Accepted>, Vec<Change>), Failure> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let mut rows: Vec<(EventRow, OutcomeRow)> = score_events::table
        .inner_join(leaderboards::table.on(leaderboards::pk.eq(score_events::leaderboard_pk)))
        .left_join(users::table.on(users::id.eq(score_events::user_id)))
        .left_join(
            seasons::table
                .on(seasons::leaderboard_pk.eq(score_events::leaderboard_pk).and(seasons::season.eq(score_events::season))),
        )
        .filter(score_events::event_id.eq_any(&ids))
        .order((score_events::event_id, score_events::position))
        .select((
            (score_events::event_id, score_events::user_id, score_events::action_id, score_events::at, shown_columns!()),
            outcome_columns!(),
        ))
        .load(conn)
        .await?;
    let silent = sanctions::silent(conn, &ids).await?;
    // What is withheld is never applied.
    let unapplied = rows.iter().filter(|(_, outcome)| !outcome.applied).map(|(event, _)| Uuid::from_slice(&event.event_id));
    let unapplied = unapplied.collect::<Result<Vec<_>, _>>().map_err(Failure::corrupt)?;
    let mut tripped = reviews::tripped(conn, &unapplied).await?;
    let turns: HashMap<&[u8], usize> = ids.iter().enumerate().map(|(turn, id)| (*id, turn)).collect();
    // Stable: the leaderboards of one event stay in the action's order.
    rows.sort_by_key(|(event, _)| turns.get(event.event_id.as_slice()).copied());

    let (mut accepted, mut changes): (Vec<Accepted>, Vec<Change>) = (Vec::new(), Vec::with_capacity(rows.len()));
    for (event, outcome) in rows {
        let (event_id, at) = (Uuid::from_slice(&event.event_id).map_err(Failure::corrupt)?, Timestamp(event.at));
        let user_id = UserId::parse(&event.user_id).map_err(Failure::corrupt)?;
        let hidden = silent.contains(&(event.event_id, outcome.pk));
        let action_id = match outcome.kind {
            Some(_) => None,
            None => Some(ActionId::parse(&event.action_id).map_err(Failure::corrupt)?),
        };
        let standing = entry_outcome(outcome, hidden)?;
        if standing.applied {
            let name = shown(event.shown).unwrap_or(DisplayName::NONE);
            changes.push(Change::new(event_id, &user_id, action_id.as_ref(), at, &standing, name));
        }
        let Some(action_id) = action_id else { continue };
        match accepted.last_mut().filter(|last| last.event_id == event_id) {
            Some(last) => last.standings.push(standing),
            None => {
                let standings = vec![standing];
                let tripped = tripped.remove(&event_id).unwrap_or_default();
                accepted.push(Accepted { event_id, action_id, user_id, at, standings, receipt_batch: None, tripped });
            }
        }
    }
    Ok((accepted, changes))
}

fn entry_outcome(row: OutcomeRow, hidden: bool) -> Result<EntryOutcome, Failure> {
    Ok(EntryOutcome {
        leaderboard_id: LeaderboardId::parse(&row.leaderboard_id).map_err(Failure::corrupt)?,
        board: Board { pk: row.pk, season: row.season, order: order(row.season_order.as_deref().unwrap_or(&row.sort_order))? },
        applied: row.applied,
        previous_score: row.previous_score,
        new_score: row.new_score,
        delta: row.delta,
        revision: row.revision,
        points: None,
        hidden,
    })
}
