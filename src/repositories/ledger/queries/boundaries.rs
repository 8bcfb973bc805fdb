//! Boundaries between seasons: carried out while no commit is in progress, each once.

use diesel::{
    ExpressionMethods, QueryDsl, SelectableHelper,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        LedgerError,
        schema::{leaderboards, seasons},
        statement::statement,
    },
    Conn, Db, Failure, clock, definitions, jobs,
    leaderboards::{self as boards, LeaderboardRow},
    locks, outbox,
    seasons::{find, newest_time, of_creation},
};
use crate::domain::{
    announcement::Announcement,
    archive::EMPTY_DIGEST,
    definition::Changed,
    ids::{LeaderboardId, Noun},
    job::{ArchiveSeason, NewJob},
    leaderboard::Leaderboard,
    season::{Begun, Season, SeasonCause, Turn},
    time::Timestamp,
};

/// The most boundaries that are carried out for one leaderboard, if they passed while nothing ran.
const MISSED: usize = 1_000;

/// If at least this many leaderboards turn over together, they are archived over a while, in microseconds: scores come first.
const CROWD: usize = 16;
const SPREAD: i64 = 20_000_000;

/// Seasons that one transaction may begin before it ends: commits wait for it.
const SEASONS_AT_ONCE: usize = 500;

statement!(
    /// A season that began and ended while nothing ran.
    Db, PassSeason {
        board: BigInt = i64, season: BigInt = i64, cause: Text = str, starts_at: BigInt = i64, ends_at: BigInt = i64,
        order: Text = str, operator: Text = str, bounds_min: Nullable<BigInt> = Option<i64>,
        bounds_max: Nullable<BigInt> = Option<i64>, on_exceed: Nullable<Text> = Option<&'a str>, skipped: BigInt = i64,
        digest: Text = str, finalized_at: BigInt = i64,
    } -> BigInt,
    "INSERT INTO seasons (leaderboard_pk, season, cause, starts_at, ends_at, sort_order, operator, bounds_min, bounds_max, on_exceed, \
     skipped, total, digest, finalized_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)"
);

statement!(
    Db, EndSeason {
        ends_at: BigInt = i64, order: Text = str, operator: Text = str, bounds_min: Nullable<BigInt> = Option<i64>,
        bounds_max: Nullable<BigInt> = Option<i64>, on_exceed: Nullable<Text> = Option<&'a str>, board: BigInt = i64,
        season: BigInt = i64,
    } -> BigInt,
    "UPDATE seasons SET ends_at = ?, sort_order = ?, operator = ?, bounds_min = ?, bounds_max = ?, on_exceed = ? \
     WHERE leaderboard_pk = ? AND season = ?"
);

statement!(
    Db, BeginSeason {
        board: BigInt = i64, season: BigInt = i64, name: Nullable<Text> = Option<&'a str>, cause: Text = str,
        starts_at: BigInt = i64, skipped: BigInt = i64,
    } -> BigInt,
    "INSERT INTO seasons (leaderboard_pk, season, name, cause, starts_at, skipped) VALUES (?, ?, ?, ?, ?, ?)"
);

statement!(
    Db, GoOn { season: BigInt = i64, starts_at: BigInt = i64, next: Nullable<BigInt> = Option<i64>, board: BigInt = i64 } -> BigInt,
    "UPDATE leaderboards SET season = ?, season_starts_at = ?, next_boundary_at = ? WHERE pk = ?"
);

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
    locks::definitions_exclusively(conn).await?;
    let due = due(conn, now, only, limit).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let changed: Vec<Changed> = due.iter().map(|leaderboard| Changed::Leaderboard(leaderboard.id.clone())).collect();
    definitions::begin_change(conn, &changed).await?;
    let mut rows = Vec::with_capacity(due.len());
    let (many, mut written) = (due.len() >= CROWD, 0);
    for leaderboard in &due {
        let (begun, skipped) = boundaries(leaderboard, now);
        let archived_from = if many { Timestamp(now.0 + fastrand::i64(0..SPREAD)) } else { now };
        written += begun.len();
        rows.push(turn(conn, leaderboard, begun, SeasonCause::Schedule, skipped, now, archived_from).await?);
        // The others come in the next transaction: after a long downtime each may have a thousand.
        if written >= SEASONS_AT_ONCE {
            break;
        }
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
    archived_from: Timestamp,
) -> Result<(i64, Announcement), Failure> {
    let (pk, rules) = (leaderboard.pk, leaderboard.settings.rules());
    let ([first, ..], [.., last]) = (begun.as_slice(), begun.as_slice()) else {
        return Err(Failure::corrupt("a boundary at which no season begins"));
    };
    let bounds = rules.bounds;
    let end = EndSeason {
        ends_at: &first.ended_at,
        order: rules.order.as_str(),
        operator: rules.operator.as_str(),
        bounds_min: &bounds.map(|bounds| bounds.min),
        bounds_max: &bounds.map(|bounds| bounds.max),
        on_exceed: &bounds.map(|bounds| bounds.on_exceed.as_str()),
        board: &pk,
        season: &leaderboard.season,
    };
    if end.execute(conn).await? == 0 {
        let ended = of_creation(leaderboard).ended(rules, first.ended_at);
        diesel::insert_into(seasons::table).values(ended).execute(conn).await?;
    }
    for (index, season) in begun.iter().enumerate() {
        let skipped = if index == 0 { skipped } else { 0 };
        match begun.get(index + 1) {
            Some(next) => {
                let pass = PassSeason {
                    board: &pk,
                    season: &season.season,
                    cause: cause.as_str(),
                    starts_at: &season.starts_at,
                    ends_at: &next.ended_at,
                    order: rules.order.as_str(),
                    operator: rules.operator.as_str(),
                    bounds_min: &bounds.map(|bounds| bounds.min),
                    bounds_max: &bounds.map(|bounds| bounds.max),
                    on_exceed: &bounds.map(|bounds| bounds.on_exceed.as_str()),
                    skipped: &skipped,
                    digest: EMPTY_DIGEST,
                    finalized_at: &now.0,
                };
                pass.execute(conn).await?;
            }
            None => {
                let begin = BeginSeason {
                    board: &pk,
                    season: &season.season,
                    name: &season.name.as_deref(),
                    cause: cause.as_str(),
                    starts_at: &season.starts_at,
                    skipped: &skipped,
                };
                begin.execute(conn).await?;
            }
        }
    }
    let goes_on = GoOn { season: &last.season, starts_at: &last.starts_at, next: &last.next_reset, board: &pk };
    goes_on.execute(conn).await?;
    let archive = ArchiveSeason { pk, season: leaderboard.season, correction: 0 };
    jobs::add(conn, &NewJob::new(&archive, archived_from), now).await?;
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
    locks::definitions_exclusively(conn).await?;
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
    // They come before the next boundary as well, which is left alone.
    let starts_at = now.max(Timestamp(after.0 + 1));
    let starts_at = leaderboard.next_boundary_at.map_or(starts_at, |boundary| starts_at.min(boundary));
    definitions::begin_change(conn, &[Changed::Leaderboard(id.clone())]).await?;
    let begun = Begun {
        season: ends + 1,
        starts_at: starts_at.0,
        ended_at: starts_at.0,
        next_reset: leaderboard.settings.next_boundary(starts_at).map(|at| at.0),
        name,
    };
    let announced = turn(conn, &leaderboard, vec![begun], SeasonCause::Manual, 0, now, now).await?;
    let season = find(conn, id, ends + 1).await?;
    Ok((season, announced))
}
