//! Corrections: changes of entries other than scores.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl, Queryable,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        LedgerError, Updated,
        schema::{corrections, leaderboards, seasons, users},
        statement::statement,
    },
    Conn, Db, Failure, audit, clock, leaderboards as definitions, locks, outbox,
};
use crate::domain::{
    announcement::{Announcement, Change},
    audit::{Act, Deed},
    entry::{DisplayName, TAKEN_OUT},
    event::{ScoreRemoved, fields},
    ids::{LeaderboardId, Noun, UserId},
    leaderboard::Board,
    settlement::event_id,
    time::Timestamp,
};

statement!(
    /// Removes an entry from its ranking, if it is in it. Its time never runs backwards.
    Db, TakeOut {
        sort_score: BigInt = i64, from: BigInt = i64, otherwise: BigInt = i64, board: BigInt = i64, season: BigInt = i64, user: Text = str,
        in_ranking: BigInt = i64,
    } -> (BigInt, BigInt, BigInt),
    "UPDATE entries SET sort_score = ?, revision = revision + 1, reached_at = CASE WHEN reached_at >= ? THEN reached_at + 1 ELSE ? END \
     WHERE leaderboard_pk = ? AND season = ? AND user_id = ? AND sort_score < ? RETURNING score, reached_at, revision"
);

/// The reason recorded when an entry is removed on somebody's behalf.
const REMOVED: &str = "removed";

/// Removes a user's entry from the present season of a leaderboard; `None` if there is none.
pub async fn remove_entry(
    conn: &mut Conn,
    id: &LeaderboardId,
    user_id: &UserId,
    act: &Act,
) -> Result<Option<Updated<Change>>, Failure> {
    let now = act.at;
    // As a commit: no season ends meanwhile, and one that has ended takes no more changes.
    locks::definitions_shared(conn).await?;
    let Some(leaderboard) = definitions::find(conn, id).await? else { return Ok(None) };
    let time = clock::now(conn, now).await?;
    if leaderboard.next_boundary_at.is_some_and(|boundary| boundary <= time) {
        return Err(LedgerError::BoundaryDue(vec![leaderboard.pk]).into());
    }
    let board = leaderboard.board();
    let (user, sort_score) = (user_id.as_str(), &TAKEN_OUT);
    let take_out = TakeOut {
        sort_score,
        from: &now.0,
        otherwise: &now.0,
        board: &board.pk,
        season: &board.season,
        user,
        in_ranking: sort_score,
    };
    let Some((previous, at, revision)) = take_out.get_result::<(i64, i64, i64)>(conn).await.optional()? else { return Ok(None) };
    let event = event_id(Timestamp(at));
    let row = (
        (corrections::event_id.eq(event.as_bytes().as_slice()), corrections::leaderboard_pk.eq(board.pk)),
        (corrections::season.eq(board.season), corrections::user_id.eq(user), corrections::revision.eq(revision)),
        (corrections::previous_score.eq(previous), corrections::new_score.eq(None::<i64>), corrections::at.eq(at)),
        (corrections::cause.eq(REMOVED), corrections::subject.eq(&*act.subject)),
    );
    diesel::insert_into(corrections::table).values(row).execute(conn).await?;
    let Some(change) = changes(conn, &[event]).await?.pop() else {
        // Deleted meanwhile: what was written is rolled back.
        return Err(LedgerError::NotFound(Noun::Leaderboard).into());
    };
    let announcement = Announcement::Scores { changes: vec![change.clone()] };
    let row = outbox::add(conn, now, &announcement).await?;
    let target = format!("{}/entry:{user_id}", definitions::season_target(id, board.season));
    audit::record(conn, act, &Deed::new("entry.remove", target, serde_json::json!({ "previousScore": previous }))).await?;
    Ok(Some(Updated { value: change, outbox: Some((row, announcement)) }))
}

/// A correction, with the columns that its change is made of.
#[derive(Queryable)]
struct Row {
    event_id: Vec<u8>,
    leaderboard_pk: i64,
    season: i64,
    sort_order: String,
    season_order: Option<String>,
    leaderboard_id: String,
    user_id: String,
    revision: i64,
    at: i64,
    display_name: Option<String>,
    name_revision: Option<i64>,
}

/// The changes to announce to the ranking for these corrections. Leaderboards that were deleted since are left out.
pub async fn changes(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Change>, Failure> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let rows: Vec<Row> = corrections::table
        .inner_join(leaderboards::table.on(leaderboards::pk.eq(corrections::leaderboard_pk)))
        .left_join(users::table.on(users::id.eq(corrections::user_id)))
        .left_join(
            seasons::table
                .on(seasons::leaderboard_pk.eq(corrections::leaderboard_pk).and(seasons::season.eq(corrections::season))),
        )
        .filter(corrections::event_id.eq_any(&ids))
        .order(corrections::event_id)
        .select((
            corrections::event_id,
            corrections::leaderboard_pk,
            corrections::season,
            leaderboards::sort_order,
            seasons::sort_order.nullable(),
            leaderboards::id,
            corrections::user_id,
            corrections::revision,
            corrections::at,
            users::display_name.nullable(),
            users::revision.nullable(),
        ))
        .load(conn)
        .await?;
    rows.into_iter().map(change).collect()
}

fn change(row: Row) -> Result<Change, Failure> {
    let event_id = Uuid::from_slice(&row.event_id).map_err(Failure::corrupt)?;
    let user_id = UserId::parse(&row.user_id).map_err(Failure::corrupt)?;
    let leaderboard_id = LeaderboardId::parse(&row.leaderboard_id).map_err(Failure::corrupt)?;
    let (season, at) = (row.season, Timestamp(row.at));
    let known = ScoreRemoved { leaderboard_id: &leaderboard_id, season, event_id, user_id: &user_id, at };
    Ok(Change {
        board: Board {
            pk: row.leaderboard_pk,
            season,
            order: definitions::order(row.season_order.as_deref().unwrap_or(&row.sort_order))?,
        },
        event_id,
        score: None,
        reached_at: row.at,
        revision: row.revision,
        name: DisplayName { name: row.display_name, revision: row.name_revision.unwrap_or_default() },
        event: fields(&known),
        user_id,
    })
}

/// The corrections that made revisions of an entry between two others: revision and event.
pub async fn between(conn: &mut Conn, board: Board, user: &UserId, after: i64, before: i64) -> Result<Vec<(i64, Uuid)>, Failure> {
    let of_board = corrections::leaderboard_pk.eq(board.pk).and(corrections::season.eq(board.season));
    let rows: Vec<(i64, Vec<u8>)> = corrections::table
        .filter(of_board.and(corrections::user_id.eq(user.as_str())))
        .filter(corrections::revision.gt(after).and(corrections::revision.lt(before)))
        .select((corrections::revision, corrections::event_id))
        .load(conn)
        .await?;
    rows.into_iter().map(|(revision, id)| Ok((revision, Uuid::from_slice(&id).map_err(Failure::corrupt)?))).collect()
}

/// Those of these events that are corrections.
pub async fn known(conn: &mut Conn, ids: &[&[u8]]) -> Result<Vec<Vec<u8>>, Failure> {
    let those = corrections::table.filter(corrections::event_id.eq_any(ids)).select(corrections::event_id);
    Ok(those.load(conn).await?)
}
