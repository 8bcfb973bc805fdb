//! Seasons: their list. `boundaries.rs` ends them.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        LedgerError,
        schema::{score_events, season_marks, seasons},
    },
    Conn, Db, Failure, audit, leaderboards as boards, reviews,
};
use crate::domain::{
    audit::{Act, Deed},
    ids::{LeaderboardId, Noun},
    leaderboard::{Leaderboard, Rules},
    season::{Begun, Season, SeasonCause, SeasonResult},
    time::Timestamp,
};

/// A row of `seasons`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = seasons, check_for_backend(Db))]
pub struct Row {
    leaderboard_pk: i64,
    season: i64,
    name: Option<String>,
    cause: String,
    starts_at: i64,
    ends_at: Option<i64>,
    sort_order: Option<String>,
    operator: Option<String>,
    bounds_min: Option<i64>,
    bounds_max: Option<i64>,
    on_exceed: Option<String>,
    skipped: i64,
    corrections: i64,
    total: Option<i64>,
    digest: Option<String>,
    finalized_at: Option<i64>,
    revised_at: Option<i64>,
    archived: i64,
}

impl Row {
    /// The season that begins now.
    pub fn begun(pk: i64, begun: &Begun, cause: SeasonCause) -> Self {
        Self {
            leaderboard_pk: pk,
            season: begun.season,
            name: begun.name.clone(),
            cause: cause.as_str().to_owned(),
            starts_at: begun.starts_at,
            ends_at: None,
            sort_order: None,
            operator: None,
            bounds_min: None,
            bounds_max: None,
            on_exceed: None,
            skipped: 0,
            corrections: 0,
            total: None,
            digest: None,
            finalized_at: None,
            revised_at: None,
            archived: 0,
        }
    }

    pub fn ended(self, rules: Rules, ends_at: i64) -> Self {
        Self {
            ends_at: Some(ends_at),
            sort_order: Some(rules.order.as_str().to_owned()),
            operator: Some(rules.operator.as_str().to_owned()),
            bounds_min: rules.bounds.map(|bounds| bounds.min),
            bounds_max: rules.bounds.map(|bounds| bounds.max),
            on_exceed: rules.bounds.map(|bounds| bounds.on_exceed.as_str().to_owned()),
            ..self
        }
    }

    fn into_season(self, current: Rules) -> Result<Season, Failure> {
        let rules = match (self.sort_order.as_deref(), self.operator.as_deref()) {
            (Some(order), Some(operator)) => Rules {
                order: boards::order(order)?,
                operator: boards::operator(operator)?,
                bounds: boards::bounds(self.bounds_min, self.bounds_max, self.on_exceed.as_deref())?,
            },
            _ => current,
        };
        let causes = [SeasonCause::Created, SeasonCause::Schedule, SeasonCause::Manual];
        let cause = causes.into_iter().find(|cause| cause.as_str() == self.cause);
        let result = match (self.total, self.digest, self.finalized_at) {
            (Some(total), Some(digest), Some(at)) => {
                Some(SeasonResult { total: total.max(0).unsigned_abs(), digest, finalized_at: Timestamp(at) })
            }
            _ => None,
        };
        Ok(Season {
            pk: self.leaderboard_pk,
            number: self.season,
            name: self.name,
            cause: cause.ok_or_else(|| Failure::corrupt(format!("the cause of a season: {:?}", self.cause)))?,
            starts_at: Timestamp(self.starts_at),
            ends_at: self.ends_at.map(Timestamp),
            rules,
            skipped: self.skipped,
            corrections: self.corrections,
            result,
            revised_at: self.revised_at.map(Timestamp),
            archived: self.archived,
            open_reviews: false,
        })
    }
}

/// The time of the newest score event.
pub async fn newest_time(conn: &mut Conn) -> Result<Option<Timestamp>, Failure> {
    let newest =
        score_events::table.order((score_events::event_id.desc(), score_events::position.desc())).select(score_events::at);
    Ok(newest.first(conn).await.optional()?.map(Timestamp))
}

/// Adds the first season of a new leaderboard.
pub async fn first(conn: &mut Conn, leaderboard: &Leaderboard) -> Result<(), Failure> {
    let row = of_creation(leaderboard);
    diesel::insert_into(seasons::table).values(row).execute(conn).await?;
    Ok(())
}

/// The season of a leaderboard's creation.
pub fn of_creation(leaderboard: &Leaderboard) -> Row {
    let at = leaderboard.season_starts_at.0;
    let begun = Begun { season: leaderboard.season, starts_at: at, ended_at: at, next_reset: None, name: None };
    Row::begun(leaderboard.pk, &begun, SeasonCause::Created)
}

/// Removes what is known of the seasons of a deleted leaderboard; its entries are swept later.
pub async fn delete_all(conn: &mut Conn, pk: i64) -> Result<(), Failure> {
    diesel::delete(seasons::table.filter(seasons::leaderboard_pk.eq(pk))).execute(conn).await?;
    diesel::delete(season_marks::table.filter(season_marks::leaderboard_pk.eq(pk))).execute(conn).await?;
    Ok(())
}

/// A season. `NotFound`.
pub async fn find(conn: &mut Conn, id: &LeaderboardId, number: i64) -> Result<Season, Failure> {
    let leaderboard = boards::find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    season_of(conn, &leaderboard, number).await?.ok_or_else(|| LedgerError::NotFound(Noun::Season).into())
}

/// The same, with whether reviews of it are open.
pub async fn find_reviewed(conn: &mut Conn, id: &LeaderboardId, number: i64) -> Result<Season, Failure> {
    let mut season = find(conn, id, number).await?;
    season.open_reviews = reviews::open_in(conn, &season).await?;
    Ok(season)
}

/// A season of this leaderboard, if there is one.
pub async fn season_of(conn: &mut Conn, leaderboard: &Leaderboard, number: i64) -> Result<Option<Season>, Failure> {
    if !(1..=leaderboard.season).contains(&number) {
        return Ok(None);
    }
    let row = seasons::table.find((leaderboard.pk, number)).select(Row::as_select()).first(conn).await.optional()?;
    // The release before this one makes leaderboards without it.
    let row = row.or_else(|| (number == leaderboard.season).then(|| of_creation(leaderboard)));
    row.map(|row| row.into_season(leaderboard.settings.rules())).transpose()
}

/// Seasons before `before`, newest first, each with whether reviews of it are open.
pub async fn list(conn: &mut Conn, id: &LeaderboardId, before: Option<i64>, limit: i64) -> Result<Vec<Season>, Failure> {
    let leaderboard = boards::find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    let mut rows: Vec<Row> = seasons::table
        .filter(seasons::leaderboard_pk.eq(leaderboard.pk).and(seasons::season.lt(before.unwrap_or(i64::MAX))))
        .order(seasons::season.desc())
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
        .await?;
    if before.is_none() && rows.as_slice().first().is_none_or(|row: &Row| row.season < leaderboard.season) {
        rows.insert(0, of_creation(&leaderboard));
    }
    let mut seasons: Vec<Season> =
        rows.into_iter().map(|row| row.into_season(leaderboard.settings.rules())).collect::<Result<_, _>>()?;
    reviews::note_open(conn, &mut seasons).await?;
    Ok(seasons)
}

/// Names a season. `NotFound`.
pub async fn rename(conn: &mut Conn, id: &LeaderboardId, number: i64, name: Option<&str>, act: &Act) -> Result<Season, Failure> {
    let leaderboard = boards::find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    let named = diesel::update(seasons::table.find((leaderboard.pk, number))).set(seasons::name.eq(name)).execute(conn).await?;
    if named == 0 && number == leaderboard.season {
        let row = Row { name: name.map(str::to_owned), ..of_creation(&leaderboard) };
        diesel::insert_into(seasons::table).values(row).execute(conn).await?;
    }
    let mut season = season_of(conn, &leaderboard, number).await?.ok_or(LedgerError::NotFound(Noun::Season))?;
    season.open_reviews = reviews::open_in(conn, &season).await?;
    let details = serde_json::json!({ "name": name });
    audit::record(conn, act, &Deed::new("season.rename", boards::season_target(id, number), details)).await?;
    Ok(season)
}
