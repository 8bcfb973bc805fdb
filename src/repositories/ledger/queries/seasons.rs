//! Seasons: their list, and the boundaries between them.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        LedgerError,
        schema::{leaderboards, score_events, season_marks, seasons},
    },
    Conn, Db, Failure, audit, clock, definitions, jobs,
    leaderboards::{self as boards, LeaderboardRow},
    outbox,
};
use crate::domain::{
    announcement::Announcement,
    archive::EMPTY_DIGEST,
    audit::{Act, Deed},
    definition::Changed,
    ids::{LeaderboardId, Noun},
    job::{ArchiveSeason, NewJob},
    leaderboard::{Leaderboard, Rules},
    season::{Begun, Season, SeasonCause, SeasonResult, Turn},
    time::Timestamp,
};

/// The most boundaries that are carried out for one leaderboard, if they passed while nothing ran.
const MISSED: usize = 1_000;

/// A row of `seasons`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = seasons, check_for_backend(Db))]
struct Row {
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
}

impl Row {
    /// The season that begins now.
    fn begun(pk: i64, begun: &Begun, cause: SeasonCause) -> Self {
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
        }
    }

    fn ended(self, rules: Rules, ends_at: i64) -> Self {
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

    /// With the result of a season in which nobody scored.
    fn empty(self, now: Timestamp) -> Self {
        Self { total: Some(0), digest: Some(EMPTY_DIGEST.to_owned()), finalized_at: Some(now.0), ..self }
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

fn of_creation(leaderboard: &Leaderboard) -> Row {
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

async fn season_of(conn: &mut Conn, leaderboard: &Leaderboard, number: i64) -> Result<Option<Season>, Failure> {
    if !(1..=leaderboard.season).contains(&number) {
        return Ok(None);
    }
    let row = seasons::table.find((leaderboard.pk, number)).select(Row::as_select()).first(conn).await.optional()?;
    // The release before this one makes leaderboards without it.
    let row = row.or_else(|| (number == leaderboard.season).then(|| of_creation(leaderboard)));
    row.map(|row| row.into_season(leaderboard.settings.rules())).transpose()
}

/// Seasons before `before`, newest first.
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
    rows.into_iter().map(|row| row.into_season(leaderboard.settings.rules())).collect()
}

/// Names a season. `NotFound`.
pub async fn rename(conn: &mut Conn, id: &LeaderboardId, number: i64, name: Option<&str>, act: &Act) -> Result<Season, Failure> {
    let leaderboard = boards::find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    let named = diesel::update(seasons::table.find((leaderboard.pk, number))).set(seasons::name.eq(name)).execute(conn).await?;
    if named == 0 && number == leaderboard.season {
        let row = Row { name: name.map(str::to_owned), ..of_creation(&leaderboard) };
        diesel::insert_into(seasons::table).values(row).execute(conn).await?;
    }
    let season = season_of(conn, &leaderboard, number).await?.ok_or(LedgerError::NotFound(Noun::Season))?;
    let details = serde_json::json!({ "name": name });
    audit::record(conn, act, &Deed::new("season.rename", boards::season_target(id, number), details)).await?;
    Ok(season)
}

/// Carries out the scheduled boundaries that have come, of these leaderboards or of all, for up to `limit` of them. Returns the
/// outbox rows that announce them.
pub async fn turn_due(
    conn: &mut Conn,
    own_time: Timestamp,
    only: Option<&[i64]>,
    limit: i64,
) -> Result<Vec<(i64, Announcement)>, Failure> {
    let now = clock::now(conn, own_time).await?;
    // Nobody is locked out for nothing.
    if due(conn, now, only, 1).await?.is_empty() {
        return Ok(Vec::new());
    }
    super::locks::definitions_exclusively(conn).await?;
    let due = due(conn, now, only, limit).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let changed: Vec<Changed> = due.iter().map(|leaderboard| Changed::Leaderboard(leaderboard.id.clone())).collect();
    definitions::begin_change(conn, &changed).await?;
    let mut rows = Vec::with_capacity(due.len());
    for leaderboard in &due {
        let (begun, skipped) = boundaries(leaderboard, now);
        rows.push(turn(conn, leaderboard, begun, SeasonCause::Schedule, skipped, now).await?);
    }
    crate::failpoints::failpoint!("boundary-written", Failure::Unreachable);
    Ok(rows)
}

async fn due(conn: &mut Conn, now: Timestamp, only: Option<&[i64]>, limit: i64) -> Result<Vec<Leaderboard>, Failure> {
    let mut due = leaderboards::table
        .filter(leaderboards::next_boundary_at.le(now.0))
        .order((leaderboards::next_boundary_at, leaderboards::pk))
        .limit(limit)
        .select(LeaderboardRow::as_select())
        .into_boxed();
    if let Some(only) = only {
        due = due.filter(leaderboards::pk.eq_any(only.to_vec()));
    }
    due.load(conn).await?.into_iter().map(LeaderboardRow::into_leaderboard).collect()
}

/// The seasons that begin at the boundaries up to now, and how many others were left out before the first of them.
fn boundaries(leaderboard: &Leaderboard, now: Timestamp) -> (Vec<Begun>, i64) {
    let settings = &leaderboard.settings;
    let zone = settings.timezone.parse().unwrap_or_default();
    let first = leaderboard.next_boundary_at.unwrap_or(now);
    let before_first = Timestamp(first.0 - 1);
    let (mut at, skipped) = match &settings.reset_schedule {
        Some(schedule) => schedule.missed(zone, before_first, now, MISSED),
        None => (Vec::new(), 0),
    };
    if at.is_empty() {
        // What a schedule says may change with the data on time zones.
        at.push(first);
    }
    let next = |of: Timestamp| settings.next_boundary(of).map(|at| at.0);
    let begun = at.iter().enumerate().map(|(index, starts_at)| Begun {
        season: leaderboard.season + 1 + index as i64,
        starts_at: starts_at.0,
        ended_at: if index == 0 { first.0 } else { starts_at.0 },
        next_reset: at.get(index + 1).map(|at| at.0).or_else(|| next(*starts_at)),
        name: None,
    });
    (begun.collect(), i64::try_from(skipped).unwrap_or(i64::MAX))
}

/// Ends the current season and begins these, of which the last one is current then.
async fn turn(
    conn: &mut Conn,
    leaderboard: &Leaderboard,
    begun: Vec<Begun>,
    cause: SeasonCause,
    skipped: i64,
    now: Timestamp,
) -> Result<(i64, Announcement), Failure> {
    let (pk, rules) = (leaderboard.pk, leaderboard.settings.rules());
    let ([first, ..], [.., last]) = (begun.as_slice(), begun.as_slice()) else {
        return Err(Failure::corrupt("a boundary at which no season begins"));
    };
    let gone = diesel::delete(seasons::table.find((pk, leaderboard.season))).returning(Row::as_select());
    let gone: Option<Row> = gone.get_result(conn).await.optional()?;
    let ended = gone.unwrap_or_else(|| of_creation(leaderboard)).ended(rules, first.ended_at);
    diesel::insert_into(seasons::table).values(ended).execute(conn).await?;
    for (index, season) in begun.iter().enumerate() {
        let mut row = Row::begun(pk, season, cause);
        row.skipped = if index == 0 { skipped } else { 0 };
        if let Some(next) = begun.get(index + 1) {
            row = row.ended(rules, next.ended_at).empty(now);
        }
        diesel::insert_into(seasons::table).values(row).execute(conn).await?;
    }
    diesel::update(leaderboards::table.find(pk))
        .set((
            leaderboards::season.eq(last.season),
            leaderboards::season_starts_at.eq(last.starts_at),
            leaderboards::next_boundary_at.eq(last.next_reset),
        ))
        .execute(conn)
        .await?;
    let archive = ArchiveSeason { pk, season: leaderboard.season };
    jobs::add(conn, &NewJob::new(&archive, now), now).await?;
    let announcement = Announcement::Turn(Turn {
        board: leaderboard.board(),
        leaderboard_id: leaderboard.id.clone(),
        starts_at: leaderboard.season_starts_at.0,
        begun,
    });
    let row = outbox::add(conn, now, &announcement).await?;
    Ok((row, announcement))
}

/// Ends season `ends` now, on request; returns the one that begins. `SeasonEnded` if it is not the current one, `BoundaryDue`
/// if the schedule has to end it first.
pub async fn end_now(
    conn: &mut Conn,
    id: &LeaderboardId,
    ends: i64,
    name: Option<String>,
    own_time: Timestamp,
) -> Result<(Season, (i64, Announcement)), Failure> {
    super::locks::definitions_exclusively(conn).await?;
    let leaderboard = boards::find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    if leaderboard.season != ends {
        return Err(LedgerError::OtherSeason { current: leaderboard.season }.into());
    }
    let now = clock::now(conn, own_time).await?;
    if leaderboard.next_boundary_at.is_some_and(|boundary| boundary <= now) {
        return Err(LedgerError::BoundaryDue(vec![leaderboard.pk]).into());
    }
    // All of its scores come before its end, also those of an instance whose clock is ahead.
    let after = newest_time(conn).await?.unwrap_or(leaderboard.season_starts_at).max(leaderboard.season_starts_at);
    let starts_at = now.max(Timestamp(after.0 + 1));
    definitions::begin_change(conn, &[Changed::Leaderboard(id.clone())]).await?;
    let begun = Begun {
        season: ends + 1,
        starts_at: starts_at.0,
        ended_at: starts_at.0,
        next_reset: leaderboard.settings.next_boundary(starts_at).map(|at| at.0),
        name,
    };
    let announced = turn(conn, &leaderboard, vec![begun], SeasonCause::Manual, 0, now).await?;
    let season = find(conn, id, ends + 1).await?;
    Ok((season, announced))
}
