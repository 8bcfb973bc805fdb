//! What users are found by: their display names and ids, folded ([`fold`]), and the entries of those who are found.
//!
//! `user_search` holds display names, and ids that folding changes; an id that is its own folded form is found in the key of `users`
//! itself, so most newcomers write nothing here. The previous release writes none of it: a job adds what is missing
//! ([`repair`]), and whoever reads checks what is outdated.

use std::collections::{BTreeSet, HashMap};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, QueryDsl,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        schema::{entries, user_search, users},
        statement::statement,
    },
    Conn, Db, Failure, batch, locks,
};
use crate::domain::{
    entry::TAKEN_OUT,
    ids::UserId,
    leaderboard::Board,
    search::{Prefix, fold},
};

/// How many entries are looked at first, from rank 1 downwards: where enough match there, they are the best, however many match in all.
const NEAR: i64 = 300;
/// The most users whose entries are looked up one by one. On PostgreSQL each costs about as much as three that are walked past.
const CANDIDATES: i64 = 300;
/// How many entries are looked at where more users match.
const FAR: i64 = 1_000;

statement!(
    /// The best of a board's first entries whose users match. A subquery with an offset is evaluated for each row and not turned
    /// into a hash of all that match; an expression in place of the column keeps it to the few rows of the user, where a planner may
    /// prefer to go through all that match, each time.
    Db, BestOf {
        board: BigInt = i64, season: BigInt = i64, walked: BigInt = i64, id_from: Text = str, id_to: Text = str, from: Text = str,
        to: Text = str, limit: BigInt = i64,
    } -> Text,
    "SELECT e.user_id FROM (SELECT user_id, sort_score, reached_at FROM entries \
       WHERE abs(leaderboard_pk) = ? AND abs(season) = ? AND sort_score < 9223372036854775807 \
       ORDER BY sort_score, reached_at, user_id LIMIT ?) e \
     WHERE (e.user_id >= ? AND e.user_id < ?) \
       OR EXISTS (SELECT 1 FROM user_search s WHERE s.user_id = e.user_id AND s.folded || '' >= ? AND s.folded || '' < ? LIMIT 1 OFFSET 0) \
     ORDER BY e.sort_score, e.reached_at, e.user_id LIMIT ?"
);

/// Users in the ranking whose name or id begins so, the best `limit` of them, in no particular order. Where more than
/// [`CANDIDATES`] users match and few of them are near the top, those among the first [`FAR`] entries, and others in the order of
/// their names.
pub async fn find(conn: &mut Conn, board: Board, prefix: &Prefix, limit: i64) -> Result<Vec<UserId>, Failure> {
    let mut found = best_of(conn, board, prefix, NEAR, limit).await?;
    if found.len() < limit as usize {
        let (candidates, all) = candidates(conn, prefix).await?;
        if !all {
            found = best_of(conn, board, prefix, FAR, limit).await?;
        }
        if found.len() < limit as usize {
            let of_board = entries::leaderboard_pk.eq(board.pk).and(entries::season.eq(board.season));
            let best = entries::table
                .filter(of_board.and(entries::user_id.eq_any(candidates)).and(entries::sort_score.lt(TAKEN_OUT)))
                .order((entries::sort_score, entries::reached_at, entries::user_id))
                .limit(limit)
                .select(entries::user_id);
            found.extend(best.load::<String>(conn).await?);
        }
    }
    found.iter().map(|user| UserId::parse(user).map_err(Failure::corrupt)).collect()
}

/// The users who match among the first `walked` entries, the best `limit` of them.
async fn best_of(conn: &mut Conn, board: Board, prefix: &Prefix, walked: i64, limit: i64) -> Result<BTreeSet<String>, Failure> {
    let (from, to) = prefix.range();
    let (pk, season) = (&board.pk, &board.season);
    let best = BestOf { board: pk, season, walked: &walked, id_from: from, id_to: to, from, to, limit: &limit };
    Ok(best.load::<String>(conn).await?.into_iter().collect())
}

/// The first users who match, by name and by id, whatever rankings they are in; and whether those are all.
async fn candidates(conn: &mut Conn, prefix: &Prefix) -> Result<(BTreeSet<String>, bool), Failure> {
    let (from, to) = prefix.range();
    let by_text = user_search::table
        .filter(user_search::folded.ge(from).and(user_search::folded.lt(to)))
        .order((user_search::folded, user_search::user_id))
        .limit(CANDIDATES + 1)
        .select(user_search::user_id);
    let by_text: Vec<String> = by_text.load(conn).await?;
    let by_id = users::table.filter(users::id.ge(from).and(users::id.lt(to))).order(users::id).limit(CANDIDATES + 1);
    let by_id: Vec<String> = by_id.select(users::id).load(conn).await?;
    let all = by_text.len().max(by_id.len()) <= CANDIDATES as usize;
    Ok((by_text.into_iter().chain(by_id).collect(), all))
}

/// Whether folding may change this id; certainly not if it is nothing but lower-case ASCII.
pub fn folds(id: &str) -> bool {
    id.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

/// What a user of this name is found by, beside an id that is its own folded form.
fn texts(user: &UserId, name: Option<&str>) -> BTreeSet<String> {
    let id = Some(user.as_str()).filter(|id| folds(id)).map(fold).filter(|folded| folded != user.as_str());
    name.map(fold).into_iter().chain(id).collect()
}

/// Makes a locked user be found by this name.
pub async fn set(conn: &mut Conn, user: &UserId, name: Option<&str>) -> Result<(), Failure> {
    forget(conn, user).await?;
    add(conn, [(user, name)]).await
}

/// Makes users be found who were not before.
pub async fn add<'a>(conn: &mut Conn, named: impl IntoIterator<Item = (&'a UserId, Option<&'a str>)>) -> Result<(), Failure> {
    let rows = named.into_iter().flat_map(|(user, name)| texts(user, name).into_iter().map(move |text| (user.as_str(), text)));
    let rows: Vec<(&str, String)> = rows.collect();
    if rows.is_empty() { Ok(()) } else { batch::add_search_rows(conn, rows).await }
}

/// Makes a user be found no more.
pub async fn forget(conn: &mut Conn, user: &UserId) -> Result<(), Failure> {
    diesel::delete(user_search::table.filter(user_search::user_id.eq(user.as_str()))).execute(conn).await?;
    Ok(())
}

/// Makes the next `limit` users after an id be found by their present names; returns the last one, if there are more.
pub async fn repair(conn: &mut Conn, after: &str, limit: i64) -> Result<Option<String>, Failure> {
    let page = users::table.filter(users::id.gt(after)).order(users::id).limit(limit).select((users::id, users::display_name));
    let page: Vec<(String, Option<String>)> = page.load(conn).await?;
    let ids: Vec<&str> = page.iter().map(|row| row.0.as_str()).collect();
    let rows = user_search::table.filter(user_search::user_id.eq_any(&ids)).select((user_search::user_id, user_search::folded));
    let mut known: HashMap<String, BTreeSet<String>> = HashMap::new();
    for (user, text) in rows.load::<(String, String)>(conn).await? {
        known.entry(user).or_default().insert(text);
    }
    for (id, name) in &page {
        let user = UserId::parse(id).map_err(Failure::corrupt)?;
        if known.remove(id).unwrap_or_default() == texts(&user, name.as_deref()) {
            continue;
        }
        // The name may have changed since it was read.
        if let Some(present) = locks::user(conn, &user).await? {
            set(conn, &user, present.profile.display_name.as_deref()).await?;
        }
    }
    Ok(page.last().filter(|_| page.len() as i64 == limit).map(|(id, _)| id.clone()))
}
