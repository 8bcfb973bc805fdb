//! What users are found by: their display names and ids, folded ([`fold`]), and the entries of those who are found.
//!
//! `user_search` holds display names, and ids that folding changes; an id that is its own folded form is found in the key of `users`
//! itself, so most newcomers write nothing here. The previous release writes none of it: a job adds what is missing
//! ([`repair`]), and whoever reads checks what is outdated.

use std::collections::{BTreeSet, HashMap};

use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;

use super::{
    super::super::schema::{entries, user_search, users},
    Conn, Failure, batch, locks,
};
use crate::domain::{
    entry::TAKEN_OUT,
    ids::UserId,
    leaderboard::Board,
    search::{Prefix, fold},
};

/// The most users whose entries are looked up one by one: some three milliseconds.
const LOOKED_UP: usize = 1_000;

/// Users in the ranking whose name or id begins so, the best `limit` of them, in no particular order; `None` where more than
/// [`LOOKED_UP`] users match.
pub async fn find(conn: &mut Conn, board: Board, prefix: &Prefix, limit: i64) -> Result<Option<Vec<UserId>>, Failure> {
    let users = matching(conn, prefix, LOOKED_UP + 1).await?;
    if users.len() > LOOKED_UP { Ok(None) } else { best_of(conn, board, users, limit).await.map(Some) }
}

/// The best `limit` of the first `looked_up` who match, in the order of their names.
pub async fn find_some(
    conn: &mut Conn,
    board: Board,
    prefix: &Prefix,
    looked_up: usize,
    limit: i64,
) -> Result<Vec<UserId>, Failure> {
    let users = matching(conn, prefix, looked_up).await?;
    best_of(conn, board, users, limit).await
}

/// Those of these users who are in the ranking, the best `limit` of them.
async fn best_of(conn: &mut Conn, board: Board, users: Vec<String>, limit: i64) -> Result<Vec<UserId>, Failure> {
    let of_board = entries::leaderboard_pk.eq(board.pk).and(entries::season.eq(board.season));
    let best = entries::table
        .filter(of_board.and(entries::user_id.eq_any(users)).and(entries::sort_score.lt(TAKEN_OUT)))
        .order((entries::sort_score, entries::reached_at, entries::user_id))
        .limit(limit)
        .select(entries::user_id);
    let best: Vec<String> = best.load(conn).await?;
    best.iter().map(|user| UserId::parse(user).map_err(Failure::corrupt)).collect()
}

/// The first `limit` users who match, by name and then by id, whatever rankings they are in.
async fn matching(conn: &mut Conn, prefix: &Prefix, limit: usize) -> Result<Vec<String>, Failure> {
    let (from, to) = prefix.range();
    let by_text = user_search::table
        .filter(user_search::folded.ge(from).and(user_search::folded.lt(to)))
        .order((user_search::folded, user_search::user_id))
        .limit(limit as i64)
        .select(user_search::user_id);
    let mut users: Vec<String> = by_text.load(conn).await?;
    if users.len() < limit {
        let by_id = users::table.filter(users::id.ge(from).and(users::id.lt(to))).order(users::id);
        users.extend(by_id.limit((limit - users.len()) as i64).select(users::id).load::<String>(conn).await?);
    }
    Ok(users)
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
