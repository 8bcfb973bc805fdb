//! Leaderboards: creating, changing and deleting them.

use std::collections::HashMap;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
    dsl::exists, select, sql_types::BigInt,
};
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value};

use super::{
    super::super::{LedgerError, Updated, schema::entries, schema::installation, schema::leaderboards, statement::statement},
    Conn, Db, Failure, audit, clock, definitions, maintenance, outbox, seasons,
};
use crate::domain::{
    announcement::{Announcement, DefinitionChange},
    audit::{Act, Deed},
    definition::Changed,
    ids::{LeaderboardId, Noun},
    leaderboard::{Board, Bounds, InvalidSetting, Leaderboard, LeaderboardSettings, OnExceed, Operator, Order, Visibility},
    schedule::ResetSchedule,
    time::Timestamp,
};

/// A row of `leaderboards`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = leaderboards, check_for_backend(Db))]
pub struct LeaderboardRow {
    pk: i64,
    id: String,
    name: String,
    description: String,
    sort_order: String,
    operator: String,
    unit: String,
    visibility: String,
    reset_schedule: Option<String>,
    timezone: String,
    frozen: bool,
    season: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
    bounds_min: Option<i64>,
    bounds_max: Option<i64>,
    on_exceed: Option<String>,
    season_starts_at: Option<i64>,
    next_boundary_at: Option<i64>,
}

#[derive(Insertable)]
#[diesel(table_name = leaderboards)]
struct NewLeaderboard<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    sort_order: &'a str,
    operator: &'a str,
    unit: &'a str,
    visibility: &'a str,
    reset_schedule: Option<String>,
    timezone: &'a str,
    frozen: bool,
    season: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
    bounds_min: Option<i64>,
    bounds_max: Option<i64>,
    on_exceed: Option<&'a str>,
    season_starts_at: i64,
    next_boundary_at: Option<i64>,
}

statement!(
    Db, AllotEpoch { earliest: BigInt = i64, otherwise: BigInt = i64, pk: BigInt = i64, season: BigInt = i64 } -> BigInt,
    "UPDATE leaderboards SET epoch = CASE WHEN epoch < ? THEN ? ELSE epoch + 1 END WHERE pk = ? AND season = ? RETURNING epoch"
);

/// Creates a leaderboard at season 1.
pub async fn create(
    conn: &mut Conn,
    id: &LeaderboardId,
    settings: &LeaderboardSettings,
    act: &Act,
) -> Result<Leaderboard, Failure> {
    let now = act.at;
    definitions::begin_change(conn, &[Changed::Leaderboard(id.clone())]).await?;
    if find(conn, id).await?.is_some() {
        return Err(LedgerError::Taken.into());
    }
    let row = NewLeaderboard {
        id: id.as_str(),
        name: &settings.name,
        description: &settings.description,
        sort_order: settings.order.as_str(),
        operator: settings.operator.as_str(),
        unit: &settings.unit,
        visibility: settings.visibility.as_str(),
        reset_schedule: settings.reset_schedule.as_ref().map(schedule_text),
        timezone: &settings.timezone,
        frozen: settings.closed,
        season: 1,
        revision: 1,
        created_at: now.0,
        updated_at: now.0,
        bounds_min: settings.bounds.map(|bounds| bounds.min),
        bounds_max: settings.bounds.map(|bounds| bounds.max),
        on_exceed: settings.bounds.map(|bounds| bounds.on_exceed.as_str()),
        season_starts_at: now.0,
        next_boundary_at: settings.next_boundary(now).map(|at| at.0),
    };
    diesel::insert_into(leaderboards::table).values(row).execute(conn).await?;
    diesel::update(installation::table)
        .set(installation::leaderboards_made.eq(installation::leaderboards_made + 1))
        .execute(conn)
        .await?;
    let made = find(conn, id).await?.ok_or(Failure::Raced)?;
    seasons::first(conn, &made).await?;
    audit::record(conn, act, &Deed::new("leaderboard.create", target(id), value_of(&made)?)).await?;
    Ok(made)
}

/// Creates the leaderboard if none ever existed.
pub async fn ensure_default(
    conn: &mut Conn,
    id: &LeaderboardId,
    settings: &LeaderboardSettings,
    act: &Act,
) -> Result<Option<Leaderboard>, Failure> {
    super::locks::definitions_exclusively(conn).await?;
    let made: i64 = installation::table.select(installation::leaderboards_made).first(conn).await?;
    if made > 0 {
        return Ok(None);
    }
    create(conn, id, settings, act).await.map(Some)
}

/// Changes the settings. The rules stay once the current season has entries. A boundary that has come is carried out first:
/// a new schedule moves only what is to come.
pub async fn update(
    conn: &mut Conn,
    id: &LeaderboardId,
    act: &Act,
    change: impl FnOnce(&Leaderboard) -> Result<LeaderboardSettings, InvalidSetting>,
) -> Result<Updated<Leaderboard>, Failure> {
    let now = act.at;
    super::locks::definitions_exclusively(conn).await?;
    let before = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    let settings = change(&before).map_err(LedgerError::Invalid)?;
    if settings == before.settings {
        audit::record(conn, act, &Deed::new("leaderboard.update", target(id), Value::Object(Map::new()))).await?;
        return Ok(Updated { value: before, outbox: None });
    }
    let time = clock::now(conn, now).await?;
    if before.next_boundary_at.is_some_and(|boundary| boundary <= time) {
        return Err(LedgerError::BoundaryDue(vec![before.pk]).into());
    }
    if let Some(rule) = changed_rule(&before.settings, &settings) {
        let of_season = entries::leaderboard_pk.eq(before.pk).and(entries::season.eq(before.season));
        let scored: bool = select(exists(entries::table.filter(of_season))).get_result(conn).await?;
        if scored {
            return Err(LedgerError::Conflict(rule).into());
        }
    }
    let definitions = definitions::begin_change(conn, &[Changed::Leaderboard(id.clone())]).await?;
    let rescheduled = settings.reset_schedule != before.settings.reset_schedule || settings.timezone != before.settings.timezone;
    let next_boundary_at = if rescheduled {
        // Scores may have later times than the ledger's clock, where an instance's clock is ahead.
        let newest = seasons::newest_time(conn).await?;
        settings.next_boundary(newest.map_or(time, |newest| time.max(newest)))
    } else {
        before.next_boundary_at
    };
    let former = value_of(&before)?;
    let after = Leaderboard { settings, next_boundary_at, revision: before.revision + 1, updated_at: now, ..before };
    store(conn, &after).await?;
    let announcement = Announcement::Definition(DefinitionChange::changed(&after, definitions));
    let outbox = outbox::add(conn, now, &announcement).await?;
    audit::record(conn, act, &Deed::change("leaderboard.update", target(id), &former, &value_of(&after)?)).await?;
    Ok(Updated { value: after, outbox: Some((outbox, announcement)) })
}

/// A schedule as its column holds it.
fn schedule_text(schedule: &ResetSchedule) -> String {
    serde_json::to_string(schedule).expect("a schedule always serialises")
}

/// The first of the rules that differs.
fn changed_rule(before: &LeaderboardSettings, after: &LeaderboardSettings) -> Option<&'static str> {
    let rules = [
        ("order", before.order != after.order),
        ("operator", before.operator != after.operator),
        ("bounds", before.bounds != after.bounds),
    ];
    rules.into_iter().find(|(_, changed)| *changed).map(|(rule, _)| rule)
}

/// Deletes the leaderboard. Its entries and its history become invisible at once, because they refer to its pk, and are swept
/// later.
pub async fn delete(conn: &mut Conn, id: &LeaderboardId, act: &Act) -> Result<Updated<Leaderboard>, Failure> {
    let now = act.at;
    let definitions = definitions::begin_change(conn, &[Changed::Leaderboard(id.clone())]).await?;
    let gone = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    diesel::delete(leaderboards::table.find(gone.pk)).execute(conn).await?;
    seasons::delete_all(conn, gone.pk).await?;
    maintenance::leave_to_sweep(conn, &gone, now).await?;
    let announcement = Announcement::Definition(DefinitionChange::deleted(&gone, definitions));
    let outbox = outbox::add(conn, now, &announcement).await?;
    audit::record(conn, act, &Deed::new("leaderboard.delete", target(id), Value::Object(Map::new()))).await?;
    Ok(Updated { value: gone, outbox: Some((outbox, announcement)) })
}

/// A leaderboard as the audit trail names it.
pub fn target(id: &LeaderboardId) -> String {
    format!("leaderboard:{id}")
}

/// A season as the audit trail names it.
pub fn season_target(id: &LeaderboardId, number: i64) -> String {
    format!("leaderboard:{id}/season:{number}")
}

fn value_of(leaderboard: &Leaderboard) -> Result<Value, Failure> {
    serde_json::to_value(leaderboard).map_err(Failure::corrupt)
}

/// Allots the next epoch of a leaderboard, if it still exists, in that season.
pub async fn allot_epoch(conn: &mut Conn, board: Board, earliest: i64) -> Result<Option<i64>, Failure> {
    let allot = AllotEpoch { earliest: &earliest, otherwise: &earliest, pk: &board.pk, season: &board.season };
    Ok(allot.get_result(conn).await.optional()?)
}

/// The newest epoch of every leaderboard.
pub async fn epochs(conn: &mut Conn) -> Result<HashMap<i64, i64>, Failure> {
    let epochs: Vec<(i64, i64)> = leaderboards::table.select((leaderboards::pk, leaderboards::epoch)).load(conn).await?;
    Ok(epochs.into_iter().collect())
}

/// The newest epoch of these leaderboards, if they still exist.
pub async fn epochs_of(conn: &mut Conn, pks: &[i64]) -> Result<HashMap<i64, i64>, Failure> {
    let those = leaderboards::table.filter(leaderboards::pk.eq_any(pks));
    let epochs: Vec<(i64, i64)> = those.select((leaderboards::pk, leaderboards::epoch)).load(conn).await?;
    Ok(epochs.into_iter().collect())
}

/// The leaderboard of this id.
pub async fn find(conn: &mut Conn, id: &LeaderboardId) -> Result<Option<Leaderboard>, Failure> {
    let row = leaderboards::table.filter(leaderboards::id.eq(id.as_str())).select(LeaderboardRow::as_select());
    row.first(conn).await.optional()?.map(LeaderboardRow::into_leaderboard).transpose()
}

async fn store(conn: &mut Conn, leaderboard: &Leaderboard) -> Result<(), Failure> {
    let settings = &leaderboard.settings;
    diesel::update(leaderboards::table.find(leaderboard.pk))
        .set((
            leaderboards::name.eq(&settings.name),
            leaderboards::description.eq(&settings.description),
            leaderboards::sort_order.eq(settings.order.as_str()),
            leaderboards::operator.eq(settings.operator.as_str()),
            leaderboards::unit.eq(&settings.unit),
            leaderboards::visibility.eq(settings.visibility.as_str()),
            leaderboards::bounds_min.eq(settings.bounds.map(|bounds| bounds.min)),
            leaderboards::bounds_max.eq(settings.bounds.map(|bounds| bounds.max)),
            leaderboards::on_exceed.eq(settings.bounds.map(|bounds| bounds.on_exceed.as_str())),
            leaderboards::reset_schedule.eq(settings.reset_schedule.as_ref().map(schedule_text)),
            leaderboards::timezone.eq(&settings.timezone),
            leaderboards::frozen.eq(settings.closed),
            leaderboards::next_boundary_at.eq(leaderboard.next_boundary_at.map(|at| at.0)),
            leaderboards::revision.eq(leaderboard.revision),
            leaderboards::updated_at.eq(leaderboard.updated_at.0),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

impl LeaderboardRow {
    /// The leaderboard that this row holds.
    pub fn into_leaderboard(self) -> Result<Leaderboard, Failure> {
        Ok(Leaderboard {
            pk: self.pk,
            id: LeaderboardId::parse(&self.id).map_err(Failure::corrupt)?,
            settings: LeaderboardSettings {
                name: self.name,
                description: self.description,
                order: order(&self.sort_order)?,
                operator: operator(&self.operator)?,
                unit: self.unit,
                visibility: visibility(&self.visibility)?,
                bounds: bounds(self.bounds_min, self.bounds_max, self.on_exceed.as_deref())?,
                reset_schedule: match self.reset_schedule.as_deref() {
                    Some(text) => Some(ResetSchedule::from_stored(text).map_err(Failure::corrupt)?),
                    None => None,
                },
                timezone: self.timezone,
                closed: self.frozen,
            },
            season: self.season,
            season_starts_at: Timestamp(self.season_starts_at.unwrap_or(self.created_at)),
            next_boundary_at: self.next_boundary_at.map(Timestamp),
            revision: self.revision,
            created_at: Timestamp(self.created_at),
            updated_at: Timestamp(self.updated_at),
        })
    }
}

/// The inverse of [`Order::as_str`].
pub fn order(text: &str) -> Result<Order, Failure> {
    let found = [Order::Desc, Order::Asc].into_iter().find(|order| order.as_str() == text);
    found.ok_or_else(|| Failure::corrupt(format!("order {text:?}")))
}

/// The inverse of [`Operator::as_str`].
pub fn operator(text: &str) -> Result<Operator, Failure> {
    let found = [Operator::Sum, Operator::Best, Operator::Last].into_iter().find(|operator| operator.as_str() == text);
    found.ok_or_else(|| Failure::corrupt(format!("operator {text:?}")))
}

/// Bounds as their columns hold them.
pub fn bounds(min: Option<i64>, max: Option<i64>, on_exceed: Option<&str>) -> Result<Option<Bounds>, Failure> {
    let (Some(min), Some(max), Some(text)) = (min, max, on_exceed) else { return Ok(None) };
    let found = [OnExceed::Refuse, OnExceed::Clamp].into_iter().find(|on_exceed| on_exceed.as_str() == text);
    let on_exceed = found.ok_or_else(|| Failure::corrupt(format!("what happens beyond bounds: {text:?}")))?;
    Ok(Some(Bounds { min, max, on_exceed }))
}

fn visibility(text: &str) -> Result<Visibility, Failure> {
    let found = [Visibility::Public, Visibility::Private].into_iter().find(|visibility| visibility.as_str() == text);
    found.ok_or_else(|| Failure::corrupt(format!("visibility {text:?}")))
}
