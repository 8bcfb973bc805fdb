//! Ended seasons: marks from which ranks are counted, and the result that the reading of all entries gave.

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        schema::{leaderboards, season_marks, seasons},
        statement::statement,
    },
    Conn, Db, Failure, entries,
    seasons::{self as list},
};
use crate::domain::{
    archive::Mark,
    entry::{Head, Neighbourhood, RankKey, Window},
    ids::{LeaderboardId, UserId},
    leaderboard::Board,
    season::{Season, SeasonResult},
    time::Timestamp,
};

/// A row of the statements here: how many entries there are up to the mark, sort score, time, user.
type MarkRow = (i64, i64, i64, String);

statement!(
    /// The last mark up to which there are no more entries than this.
    Db, MarkByCount { board: BigInt = i64, season: BigInt = i64, most: BigInt = i64 } -> (BigInt, BigInt, BigInt, Text),
    "SELECT ahead, sort_score, reached_at, user_id FROM season_marks WHERE leaderboard_pk = ? AND season = ? AND ahead <= ? \
     ORDER BY ahead DESC LIMIT 1"
);

statement!(
    /// The last mark before a key in ranking order.
    Db, MarkBefore { board: BigInt = i64, season: BigInt = i64, sort_score: BigInt = i64, reached_at: BigInt = i64, user: Text = str }
    -> (BigInt, BigInt, BigInt, Text),
    "SELECT ahead, sort_score, reached_at, user_id FROM season_marks WHERE leaderboard_pk = ? AND season = ? \
     AND (sort_score, reached_at, user_id) < (?, ?, ?) \
     ORDER BY sort_score DESC, reached_at DESC, user_id DESC LIMIT 1"
);

statement!(
    Db, AddMark {
        board: BigInt = i64, season: BigInt = i64, number: BigInt = i64, ahead: BigInt = i64, sort_score: BigInt = i64,
        reached_at: BigInt = i64, user: Text = str,
    } -> BigInt,
    "INSERT INTO season_marks (leaderboard_pk, season, number, ahead, sort_score, reached_at, user_id) VALUES (?, ?, ?, ?, ?, ?, ?)"
);

/// The last mark up to which there are at most `most` entries.
pub async fn mark_by_count(conn: &mut Conn, board: Board, most: u64) -> Result<Option<Mark>, Failure> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let find = MarkByCount { board: &board.pk, season: &board.season, most: &most };
    find.get_result(conn).await.optional()?.map(mark).transpose()
}

/// The last mark before this key.
pub async fn mark_before(conn: &mut Conn, board: Board, key: &RankKey) -> Result<Option<Mark>, Failure> {
    let find = MarkBefore {
        board: &board.pk,
        season: &board.season,
        sort_score: &key.sort_score,
        reached_at: &key.reached_at.0,
        user: key.user_id.as_str(),
    };
    find.get_result(conn).await.optional()?.map(mark).transpose()
}

fn mark((ahead, sort_score, reached_at, user): MarkRow) -> Result<Mark, Failure> {
    let user_id = UserId::parse(&user).map_err(Failure::corrupt)?;
    Ok(Mark { ahead: ahead.max(0).unsigned_abs(), key: RankKey { sort_score, reached_at: Timestamp(reached_at), user_id } })
}

/// A season, and entries of it from a rank on.
pub async fn window(
    conn: &mut Conn,
    id: &LeaderboardId,
    number: i64,
    from_rank: u64,
    limit: u64,
) -> Result<(Season, Window), Failure> {
    let season = list::find(conn, id, number).await?;
    let total = season.known_total();
    let mut window = entries::window(conn, season.board(), from_rank, limit, total, total.is_some()).await?;
    window.head.version = season.archived_version();
    Ok((season, window))
}

/// A season, and users' entries in it, each with up to `around` entries on each side.
pub async fn neighbourhoods(
    conn: &mut Conn,
    id: &LeaderboardId,
    number: i64,
    users: &[UserId],
    around: u64,
) -> Result<(Season, Head, Vec<Neighbourhood>), Failure> {
    let season = list::find(conn, id, number).await?;
    let total = season.known_total();
    let (head, found) = entries::neighbourhoods(conn, season.board(), users, around, total, total.is_some()).await?;
    Ok((season.clone(), Head { version: season.archived_version(), ..head }, found))
}

/// The season that is to be archived, if it has ended and still exists.
pub async fn due(conn: &mut Conn, pk: i64, number: i64) -> Result<Option<Season>, Failure> {
    let id: Option<String> = leaderboards::table.find(pk).select(leaderboards::id).first(conn).await.optional()?;
    let Some(id) = id else { return Ok(None) };
    let season = list::find(conn, &LeaderboardId::parse(&id).map_err(Failure::corrupt)?, number).await?;
    Ok(Some(season).filter(|season| season.ends_at.is_some()))
}

/// Stores what the reading of a season gave, unless it was corrected meanwhile; returns whether it was stored.
pub async fn store(conn: &mut Conn, season: &Season, result: &SeasonResult, marks: &[Mark]) -> Result<bool, Failure> {
    let (pk, number) = (season.pk, season.number);
    let row = seasons::table.find((pk, number)).filter(seasons::corrections.eq(season.corrections));
    let stored = diesel::update(row).set((
        seasons::total.eq(i64::try_from(result.total).unwrap_or(i64::MAX)),
        seasons::digest.eq(&result.digest),
        seasons::finalized_at.eq(season.result.as_ref().unwrap_or(result).finalized_at.0),
        seasons::archived.eq(season.corrections),
    ));
    if stored.execute(conn).await? == 0 {
        return Ok(false);
    }
    let old = season_marks::table.filter(season_marks::leaderboard_pk.eq(pk)).filter(season_marks::season.eq(number));
    diesel::delete(old).execute(conn).await?;
    for (place, mark) in (0..).zip(marks) {
        let Mark { ahead, key } = mark;
        let add = AddMark {
            board: &pk,
            season: &number,
            number: &place,
            ahead: &i64::try_from(*ahead).unwrap_or(i64::MAX),
            sort_score: &key.sort_score,
            reached_at: &key.reached_at.0,
            user: key.user_id.as_str(),
        };
        add.execute(conn).await?;
    }
    Ok(true)
}
