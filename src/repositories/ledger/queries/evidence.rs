//! Single score events, for callers that suspect that something was lost.

use std::collections::HashSet;

use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{super::super::schema::score_events, Conn, Failure, corrections};
use crate::domain::{ids::UserId, leaderboard::Board};

/// Revisions of one entry that are searched for at once.
const REVISIONS_AT_ONCE: i64 = 1_000;
/// Ids that one statement looks up.
const IDS_AT_ONCE: usize = 500;

/// Which of these events do not exist, whether scores or corrections.
pub async fn unknown(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let unknown = unknown_scores(conn, ids).await?;
    if unknown.is_empty() {
        return Ok(unknown);
    }
    let bytes: Vec<&[u8]> = unknown.iter().map(|id| id.as_bytes().as_slice()).collect();
    let corrections: HashSet<Vec<u8>> = corrections::known(conn, &bytes).await?.into_iter().collect();
    Ok(unknown.iter().filter(|id| !corrections.contains(id.as_bytes().as_slice())).copied().collect())
}

/// Which of these score events do not exist.
pub async fn unknown_scores(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let mut unknown = Vec::new();
    for page in ids.chunks(IDS_AT_ONCE) {
        let bytes: Vec<&[u8]> = page.iter().map(|id| id.as_bytes().as_slice()).collect();
        let known = score_events::table.filter(score_events::event_id.eq_any(&bytes)).select(score_events::event_id);
        let known: HashSet<Vec<u8>> = known.load(conn).await?.into_iter().collect();
        unknown.extend(page.iter().filter(|id| !known.contains(id.as_bytes().as_slice())));
    }
    Ok(unknown)
}

/// The event that made this revision of an entry. The search starts at the newest event, because callers look for new ones.
pub async fn of_revision(conn: &mut Conn, board: Board, user: &UserId, revision: i64) -> Result<Option<Uuid>, Failure> {
    let of_board = score_events::leaderboard_pk.eq(board.pk).and(score_events::season.eq(board.season));
    let id: Option<Vec<u8>> = score_events::table
        .filter(score_events::user_id.eq(user.as_str()).and(of_board))
        .filter(score_events::revision.eq(revision).and(score_events::applied.eq(true)))
        .order(score_events::event_id.desc())
        .select(score_events::event_id)
        .first(conn)
        .await
        .optional()?;
    let correction = async |conn| corrections::between(conn, board, user, revision - 1, revision + 1).await;
    match id {
        Some(id) => Uuid::from_slice(&id).map(Some).map_err(Failure::corrupt),
        None => Ok(correction(conn).await?.pop().map(|(_, id)| id)),
    }
}

/// The events that made the revisions of an entry between two others, in their order; empty if one of them is missing, or they
/// are too many. The search starts at the newest event, because callers look for new ones.
pub async fn between(conn: &mut Conn, board: Board, user: &UserId, after: i64, before: i64) -> Result<Vec<Uuid>, Failure> {
    let wanted = before - after - 1;
    if !(1..=REVISIONS_AT_ONCE).contains(&wanted) {
        return Ok(Vec::new());
    }
    let of_board = score_events::leaderboard_pk.eq(board.pk).and(score_events::season.eq(board.season));
    let between = score_events::revision.gt(after).and(score_events::revision.lt(before));
    let found: Vec<(i64, Vec<u8>)> = score_events::table
        .filter(score_events::user_id.eq(user.as_str()).and(of_board))
        .filter(between.and(score_events::applied.eq(true)))
        .order(score_events::event_id.desc())
        .limit(wanted)
        .select((score_events::revision, score_events::event_id))
        .load(conn)
        .await?;
    let scores = found.into_iter().map(|(revision, id)| Ok((revision, Uuid::from_slice(&id).map_err(Failure::corrupt)?)));
    let mut found = scores.collect::<Result<Vec<_>, Failure>>()?;
    if (found.len() as i64) < wanted {
        found.extend(corrections::between(conn, board, user, after, before).await?);
    }
    found.sort_unstable_by_key(|(revision, _)| *revision);
    let revisions = found.iter().map(|(revision, _)| *revision);
    if !revisions.eq(after + 1..before) {
        return Ok(Vec::new());
    }
    Ok(found.into_iter().map(|(_, id)| id).collect())
}
