//! Reads entries: in ranking order while the ranking itself is unreachable, and by key for its rebuild.

use std::collections::HashMap;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        schema::{entries, users},
        statement::statement,
    },
    Conn, Db, Failure, archive,
    users::{ShownColumns, shown, shown_columns},
    walk,
};
use crate::domain::{
    archive::Mark,
    entry::{DisplayName, Head, HiddenEntry, Neighbourhood, RankKey, RankedEntry, StoredEntry, TAKEN_OUT, Window},
    ids::UserId,
    leaderboard::{Board, Order},
    time::Timestamp,
};

/// An entry with its user's name.
#[derive(Clone, Queryable)]
struct Row {
    user_id: String,
    score: i64,
    sort_score: i64,
    reached_at: i64,
    revision: i64,
    shown: ShownColumns,
}

diesel::define_sql_function! {
    /// Changes nothing: every pk and every season is positive. The index in ranking order is built on `abs(leaderboard_pk)` and
    /// `abs(season)` (migration 000004), so only a condition in this form uses it. On the plain columns a planner without
    /// statistics would also take it to look up one user, which scans the whole board.
    fn abs(number: BigInt) -> BigInt;
}

/// The most entries that are counted for one rank.
const COUNTED: i64 = 100_000;

statement!(
    /// How many entries come before one key and after another, up to a limit.
    Db, CountAhead {
        board: BigInt = i64, season: BigInt = i64, sort_score: BigInt = i64, reached_at: BigInt = i64, user: Text = str,
        from_score: BigInt = i64, from_time: BigInt = i64, from_user: Text = str, limit: BigInt = i64,
    } -> BigInt,
    "SELECT count(*) FROM (SELECT 1 FROM entries WHERE abs(leaderboard_pk) = ? AND abs(season) = ? \
     AND (sort_score, reached_at, user_id) < (?, ?, ?) AND (sort_score, reached_at, user_id) > (?, ?, ?) LIMIT ?) n"
);

/// The entries of one board, to be looked up by user in the primary key, including removed ones.
macro_rules! by_user {
    ($board:expr) => {
        entries::leaderboard_pk.eq($board.pk).and(entries::season.eq($board.season))
    };
}

/// The entries of one board, to be read in ranking order: with `abs`, in the index that has this order.
macro_rules! by_rank {
    ($board:expr) => {
        abs(entries::leaderboard_pk)
            .eq($board.pk)
            .and(abs(entries::season).eq($board.season))
            .and(entries::sort_score.lt(TAKEN_OUT))
    };
}

/// Entries joined with their users' names, ready for an order.
macro_rules! rows_of {
    ($those:expr) => {
        entries::table.left_join(users::table.on(users::id.eq(entries::user_id))).filter($those).select((
            entries::user_id,
            entries::score,
            entries::sort_score,
            entries::reached_at,
            entries::revision,
            shown_columns!(),
        ))
    };
}

/// The entries on one side of a key. The bound on the score alone is what an index can use; the rest decides among equal
/// scores.
macro_rules! beyond {
    ($key:expr, $bound:ident, $strictly:ident) => {
        entries::sort_score.$bound($key.sort_score).and(
            entries::sort_score.$strictly($key.sort_score).or(entries::reached_at
                .$strictly($key.reached_at.0)
                .or(entries::reached_at.eq($key.reached_at.0).and(entries::user_id.$strictly($key.user_id.as_str())))),
        )
    };
}

/// Up to `limit` entries from rank `from_rank` downwards. `total` spares the count. An `archived` season has marks to count
/// from.
pub async fn window(
    conn: &mut Conn,
    board: Board,
    from_rank: u64,
    limit: u64,
    total: Option<u64>,
    archived: bool,
) -> Result<Window, Failure> {
    let mut head = head(conn, board, total).await?;
    let from_rank = from_rank.max(1);
    let mark = if archived { archive::mark_by_count(conn, board, from_rank - 1).await? } else { None };
    let passed = from_rank - 1 - mark.as_ref().map_or(0, |mark| mark.ahead);
    let rows = rows_of!(by_rank!(board))
        .order((entries::sort_score, entries::reached_at, entries::user_id))
        .offset(i64::try_from(passed).unwrap_or(i64::MAX))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows: Vec<Row> = match &mark {
        Some(Mark { key, .. }) => rows.filter(beyond!(key, ge, gt)).load(conn).await?,
        None => rows.load(conn).await?,
    };
    let entries = rows.into_iter().zip(from_rank..).map(|(row, rank)| ranked(rank, row)).collect::<Result<Vec<_>, _>>()?;
    head.total = head.total.max(entries.last().map_or(0, |last| last.rank));
    Ok(Window { head, entries })
}

/// Each user's entry, with up to `around` entries on each side. `total` spares the count. An `archived` season has marks to
/// count from.
pub async fn neighbourhoods(
    conn: &mut Conn,
    board: Board,
    users: &[UserId],
    around: u64,
    total: Option<u64>,
    archived: bool,
) -> Result<(Head, Vec<Neighbourhood>), Failure> {
    let mut head = head(conn, board, total).await?;
    let around = i64::try_from(around).unwrap_or(i64::MAX);
    let mut found = HashMap::with_capacity(users.len());
    for (rank, row) in places(conn, board, users, archived && total.is_some()).await? {
        let user_id = UserId::parse(&row.user_id).map_err(Failure::corrupt)?;
        let neighbours =
            if around > 0 { neighbours(conn, board, rank, &row, around).await? } else { vec![ranked(rank, row.clone())?] };
        head.total = head.total.max(neighbours.last().map_or(rank, |last| last.rank));
        found.insert(user_id, (ranked(rank, row)?, neighbours));
    }
    let neighbourhoods = users.iter().map(|user| match found.get(user) {
        Some((entry, around)) => Neighbourhood { user_id: user.clone(), entry: Some(entry.clone()), around: around.clone() },
        None => Neighbourhood { user_id: user.clone(), entry: None, around: Vec::new() },
    });
    Ok((head, neighbourhoods.collect()))
}

/// The entries of these users with their ranks, best first. Each rank is counted onwards from the one before, so the board is
/// scanned at most once, however many users there are.
async fn places(conn: &mut Conn, board: Board, users: &[UserId], archived: bool) -> Result<Vec<(u64, Row)>, Failure> {
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let rows: Vec<Row> = rows_of!(by_user!(board))
        .filter(entries::user_id.eq_any(&ids).and(entries::sort_score.lt(TAKEN_OUT)))
        .order((entries::sort_score, entries::reached_at, entries::user_id))
        .load(conn)
        .await?;
    let known = if archived { walk::archived_ranks(conn, board, &ids).await? } else { None };
    let mut places: Vec<(u64, Row)> = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(rank) = known.as_ref().and_then(|ranks| ranks.get(&row.user_id)) {
            places.push((*rank, row));
            continue;
        }
        let key = key_of(&row)?;
        let ahead = entries::table.filter(by_rank!(board)).filter(beyond!(key, le, lt)).count();
        let mark = if archived { archive::mark_before(conn, board, &key).await? } else { None };
        let before = match places.last() {
            Some((rank, before)) => Some(Mark { ahead: *rank, key: key_of(before)? }),
            None => None,
        };
        // Counted from the nearest of those that come before.
        let from = [mark, before].into_iter().flatten().max_by_key(|mark| mark.ahead);
        let rank = match from {
            None => ahead.get_result::<i64>(conn).await?.unsigned_abs() + 1,
            Some(Mark { ahead: passed, key }) => {
                passed + 1 + ahead.filter(beyond!(key, ge, gt)).get_result::<i64>(conn).await?.unsigned_abs()
            }
        };
        places.push((rank, row));
    }
    Ok(places)
}

/// The entry itself with up to `around` entries on each side, best first.
async fn neighbours(conn: &mut Conn, board: Board, rank: u64, row: &Row, around: i64) -> Result<Vec<RankedEntry>, Failure> {
    let key = key_of(row)?;
    let mut rows: Vec<Row> = rows_of!(by_rank!(board))
        .filter(beyond!(key, le, lt))
        .order((entries::sort_score.desc(), entries::reached_at.desc(), entries::user_id.desc()))
        .limit(around)
        .load(conn)
        .await?;
    let below: Vec<Row> = rows_of!(by_rank!(board))
        .filter(beyond!(key, ge, gt))
        .order((entries::sort_score, entries::reached_at, entries::user_id))
        .limit(around)
        .load(conn)
        .await?;
    rows.reverse();
    let first = rank - rows.len() as u64;
    rows.push(row.clone());
    rows.extend(below);
    rows.into_iter().zip(first..).map(|(row, rank)| ranked(rank, row)).collect()
}

/// Up to `limit` entries of hidden users, or that of one of them, best first.
pub async fn hidden(conn: &mut Conn, board: Board, user: Option<&UserId>, limit: i64) -> Result<Vec<HiddenEntry>, Failure> {
    let out = abs(entries::leaderboard_pk).eq(board.pk).and(abs(entries::season).eq(board.season));
    let mut rows = entries::table
        .left_join(users::table.on(users::id.eq(entries::user_id)))
        .filter(entries::hidden.eq(true))
        .select((entries::user_id, shown_columns!(), entries::score, entries::reached_at))
        .limit(limit)
        .into_boxed();
    rows = match user {
        Some(user) => rows.filter(by_user!(board)).filter(entries::user_id.eq(user.as_str().to_owned())),
        None => rows.filter(out.and(entries::sort_score.ge(TAKEN_OUT))),
    };
    rows = match board.order {
        Order::Desc => rows.order(entries::score.desc()),
        Order::Asc => rows.order(entries::score.asc()),
    };
    let mut rows: Vec<(String, ShownColumns, i64, i64)> = rows.load(conn).await?;
    rows.sort_by_key(|(_, _, score, at)| (board.order.sort_score(*score), *at));
    let entry = |(user, columns, score, at): (String, ShownColumns, i64, i64)| {
        let user_id = UserId::parse(&user).map_err(Failure::corrupt)?;
        Ok(HiddenEntry { user_id, shown: shown(columns), score, at: Timestamp(at) })
    };
    rows.into_iter().map(entry).collect()
}

/// How many entries come before a key in ranking order; `None` if they are too many to be counted. An `archived` season has marks
/// to count from.
pub async fn ahead(conn: &mut Conn, board: Board, key: &RankKey, archived: bool) -> Result<Option<u64>, Failure> {
    let mark = if archived { archive::mark_before(conn, board, key).await? } else { None };
    let passed = mark.as_ref().map_or(0, |mark| mark.ahead);
    let count = CountAhead {
        board: &board.pk,
        season: &board.season,
        sort_score: &key.sort_score,
        reached_at: &key.reached_at.0,
        user: key.user_id.as_str(),
        from_score: &mark.as_ref().map_or(i64::MIN, |mark| mark.key.sort_score),
        from_time: &mark.as_ref().map_or(0, |mark| mark.key.reached_at.0),
        from_user: mark.as_ref().map_or("", |mark| mark.key.user_id.as_str()),
        limit: &(COUNTED + 1),
    };
    let counted: i64 = count.get_result(conn).await?;
    Ok((counted <= COUNTED).then(|| passed + counted.unsigned_abs()))
}

/// Up to `limit` entries after a user id, in the order of the user ids, including removed ones.
///
/// The names are looked up for these users alone. PostgreSQL would merge a join of so many rows with the users in the order of
/// their ids, starting at the very first user for every page.
pub async fn after_user(conn: &mut Conn, board: Board, after: Option<&UserId>, limit: i64) -> Result<Vec<StoredEntry>, Failure> {
    // No user id is empty, so every one comes after "".
    let after = after.map_or("", UserId::as_str);
    let page = entries::table
        .filter(by_user!(board).and(entries::user_id.gt(after)))
        .order(entries::user_id)
        .limit(limit)
        .select((entries::user_id, entries::score, entries::sort_score, entries::reached_at, entries::revision));
    let page: Vec<(String, i64, i64, i64, i64)> = page.load(conn).await?;
    let ids: Vec<&str> = page.iter().map(|row| row.0.as_str()).collect();
    let named = users::table.filter(users::id.eq_any(&ids).and(users::revision.gt(0))).select((users::id, shown_columns!()));
    let names: Vec<(String, ShownColumns)> = named.load(conn).await?;
    let mut names: HashMap<_, _> = names.into_iter().collect();
    let rows = page.into_iter().map(|(user_id, score, sort_score, reached_at, revision)| {
        let shown = names.remove(&user_id).unwrap_or_default();
        stored(Row { user_id, score, sort_score, reached_at, revision, shown })
    });
    rows.collect()
}

/// Up to `limit` entries after a key in ranking order, best first.
pub async fn after_key(conn: &mut Conn, board: Board, after: Option<&RankKey>, limit: i64) -> Result<Vec<StoredEntry>, Failure> {
    let rows = rows_of!(by_rank!(board)).order((entries::sort_score, entries::reached_at, entries::user_id)).limit(limit);
    let rows: Vec<Row> = match after {
        Some(key) => rows.filter(beyond!(key, ge, gt)).load(conn).await?,
        None => rows.load(conn).await?,
    };
    rows.into_iter().map(stored).collect()
}

/// The revisions of these users' entries.
pub async fn revisions(conn: &mut Conn, board: Board, users: &[UserId]) -> Result<HashMap<UserId, i64>, Failure> {
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let those = entries::table.filter(by_user!(board).and(entries::user_id.eq_any(&ids)));
    let rows: Vec<(String, i64)> = those.select((entries::user_id, entries::revision)).load(conn).await?;
    rows.into_iter().map(|(user, revision)| Ok((UserId::parse(&user).map_err(Failure::corrupt)?, revision))).collect()
}

async fn head(conn: &mut Conn, board: Board, total: Option<u64>) -> Result<Head, Failure> {
    if let Some(total) = total {
        return Ok(Head { season: board.season, version: None, total });
    }
    // Each count uses an index only, without reading rows: removed entries are at the end of the one in ranking order.
    let all: i64 = entries::table.filter(by_user!(board)).count().get_result(conn).await?;
    let of_board = abs(entries::leaderboard_pk).eq(board.pk).and(abs(entries::season).eq(board.season));
    let taken_out = entries::table.filter(of_board.and(entries::sort_score.ge(TAKEN_OUT)));
    let taken_out: i64 = taken_out.count().get_result(conn).await?;
    Ok(Head { season: board.season, version: None, total: (all - taken_out).unsigned_abs() })
}

fn key_of(row: &Row) -> Result<RankKey, Failure> {
    let user_id = UserId::parse(&row.user_id).map_err(Failure::corrupt)?;
    Ok(RankKey { sort_score: row.sort_score, reached_at: Timestamp(row.reached_at), user_id })
}

fn ranked(rank: u64, row: Row) -> Result<RankedEntry, Failure> {
    let Row { user_id: user, score, reached_at, shown: columns, .. } = row;
    let user_id = UserId::parse(&user).map_err(Failure::corrupt)?;
    Ok(RankedEntry::new(rank, user_id, shown(columns).as_ref(), score, Timestamp(reached_at)))
}

fn stored(row: Row) -> Result<StoredEntry, Failure> {
    let Row { user_id: user, score, sort_score, reached_at, revision, shown: columns } = row;
    Ok(StoredEntry {
        user_id: UserId::parse(&user).map_err(Failure::corrupt)?,
        score: (sort_score < TAKEN_OUT).then_some(score),
        reached_at: Timestamp(reached_at),
        revision,
        name: shown(columns).unwrap_or(DisplayName::NONE),
    })
}
