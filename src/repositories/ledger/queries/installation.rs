//! What this ledger knows of itself: its id, its location, and the claims it has made to a ranking store.

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName,
    dsl::{exists, max, select},
    sql_types::Text,
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::schema::{installation, ranking_claims},
    Conn, Failure, place,
};

/// Claims that are stored: one is made at every start and once in a while, and a store that was restored from a backup holds an
/// old one.
const REMEMBERED: i64 = 1_000;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

/// The id that was generated when the ledger was set up, or when it was found to be a copy.
pub async fn id(conn: &mut Conn) -> Result<String, Failure> {
    Ok(installation::table.select(installation::id).first(conn).await?)
}

/// The location of this ledger.
pub async fn home(conn: &mut Conn) -> Result<String, Failure> {
    Ok(diesel::sql_query(place::HOME).get_result::<Line>(conn).await?.text)
}

/// The present timeline of the write-ahead log.
pub async fn timeline(conn: &mut Conn) -> Result<String, Failure> {
    Ok(diesel::sql_query(place::TIMELINE).get_result::<Line>(conn).await?.text)
}

/// Records the ledger's location. If it got its id elsewhere it takes the new one; returns whether it did.
pub async fn settle_in(conn: &mut Conn, home: &str, new_id: &str) -> Result<bool, Failure> {
    let settled = installation::table.filter(installation::home.is_null());
    if diesel::update(settled).set(installation::home.eq(home)).execute(conn).await? > 0 {
        return Ok(false);
    }
    let copied = installation::table.filter(installation::home.ne(home));
    Ok(diesel::update(copied).set((installation::id.eq(new_id), installation::home.eq(home))).execute(conn).await? > 0)
}

/// Takes a new id in place of `old`, unless another instance has done so; returns the present one.
pub async fn renew_id(conn: &mut Conn, old: &str, new: &str) -> Result<String, Failure> {
    diesel::update(installation::table.filter(installation::id.eq(old))).set(installation::id.eq(new)).execute(conn).await?;
    id(conn).await
}

/// Records a claim, and deletes very old ones.
pub async fn add_claim(conn: &mut Conn, token: &str, timeline: &str) -> Result<(), Failure> {
    let row = (ranking_claims::token.eq(token), ranking_claims::timeline.eq(timeline));
    diesel::insert_into(ranking_claims::table).values(row).execute(conn).await?;
    let newest: Option<i64> = ranking_claims::table.select(max(ranking_claims::id)).first(conn).await?;
    let forgotten = ranking_claims::table.filter(ranking_claims::id.le(newest.unwrap_or_default() - REMEMBERED));
    diesel::delete(forgotten).execute(conn).await?;
    Ok(())
}

/// Whether this ledger has made that claim.
pub async fn knows_claim(conn: &mut Conn, token: &str) -> Result<bool, Failure> {
    let claims = ranking_claims::table.filter(ranking_claims::token.eq(token));
    Ok(select(exists(claims)).get_result(conn).await?)
}

/// The timeline of the newest claim.
pub async fn claimed_timeline(conn: &mut Conn) -> Result<Option<String>, Failure> {
    let newest = ranking_claims::table.order(ranking_claims::id.desc()).select(ranking_claims::timeline);
    Ok(newest.first(conn).await.optional()?)
}
