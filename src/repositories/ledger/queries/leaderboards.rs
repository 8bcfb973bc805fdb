//! Leaderboards: creating, changing and deleting them.

use std::collections::HashMap;

use diesel::{
    ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper, dsl::exists, select,
    sql_types::BigInt,
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{LedgerError, Updated, schema::entries, schema::installation, schema::leaderboards, statement::statement},
    Conn, Db, Failure, definitions, maintenance, outbox,
};
use crate::domain::{
    announcement::{Announcement, DefinitionChange},
    definition::Changed,
    ids::{LeaderboardId, Noun},
    leaderboard::{Board, Leaderboard, LeaderboardSettings, Operator, Order, Visibility},
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
    reset_schedule: Option<&'a str>,
    timezone: &'a str,
    frozen: bool,
    season: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
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
    now: Timestamp,
) -> Result<Leaderboard, Failure> {
    definitions::begin_change(conn, &Changed::Leaderboard(id.clone())).await?;
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
        reset_schedule: settings.reset_schedule.as_deref(),
        timezone: &settings.timezone,
        frozen: settings.closed,
        season: 1,
        revision: 1,
        created_at: now.0,
        updated_at: now.0,
    };
    diesel::insert_into(leaderboards::table).values(row).execute(conn).await?;
    diesel::update(installation::table)
        .set(installation::leaderboards_made.eq(installation::leaderboards_made + 1))
        .execute(conn)
        .await?;
    find(conn, id).await?.ok_or(Failure::Raced)
}

/// Creates the leaderboard if none ever existed.
pub async fn ensure_default(
    conn: &mut Conn,
    id: &LeaderboardId,
    settings: &LeaderboardSettings,
    now: Timestamp,
) -> Result<Option<Leaderboard>, Failure> {
    super::locks::definitions_exclusively(conn).await?;
    let made: i64 = installation::table.select(installation::leaderboards_made).first(conn).await?;
    if made > 0 {
        return Ok(None);
    }
    create(conn, id, settings, now).await.map(Some)
}

/// Changes the settings. `order` and `operator` stay once there are entries, whatever their season.
pub async fn update(
    conn: &mut Conn,
    id: &LeaderboardId,
    now: Timestamp,
    change: impl FnOnce(&Leaderboard) -> LeaderboardSettings,
) -> Result<Updated<Leaderboard>, Failure> {
    super::locks::definitions_exclusively(conn).await?;
    let before = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    let settings = change(&before);
    if settings == before.settings {
        return Ok(Updated { value: before, outbox: None });
    }
    let turned = settings.order != before.settings.order;
    if turned || settings.operator != before.settings.operator {
        let scored: bool = select(exists(entries::table.filter(entries::leaderboard_pk.eq(before.pk)))).get_result(conn).await?;
        if scored {
            return Err(LedgerError::Conflict(if turned { "order" } else { "operator" }).into());
        }
    }
    let definitions = definitions::begin_change(conn, &Changed::Leaderboard(id.clone())).await?;
    let after = Leaderboard { settings, revision: before.revision + 1, updated_at: now, ..before };
    store(conn, &after).await?;
    let announcement = Announcement::Definition(DefinitionChange::changed(&after, definitions));
    let outbox = outbox::add(conn, now, &announcement).await?;
    Ok(Updated { value: after, outbox: Some((outbox, announcement)) })
}

/// Deletes the leaderboard. Its entries and its history become invisible at once, because they refer to its pk, and are swept
/// later.
pub async fn delete(conn: &mut Conn, id: &LeaderboardId, now: Timestamp) -> Result<Updated<Leaderboard>, Failure> {
    let definitions = definitions::begin_change(conn, &Changed::Leaderboard(id.clone())).await?;
    let gone = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
    diesel::delete(leaderboards::table.find(gone.pk)).execute(conn).await?;
    maintenance::leave_to_sweep(conn, &gone, now).await?;
    let announcement = Announcement::Definition(DefinitionChange::deleted(&gone, definitions));
    let outbox = outbox::add(conn, now, &announcement).await?;
    Ok(Updated { value: gone, outbox: Some((outbox, announcement)) })
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
            leaderboards::reset_schedule.eq(&settings.reset_schedule),
            leaderboards::timezone.eq(&settings.timezone),
            leaderboards::frozen.eq(settings.closed),
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
                reset_schedule: self.reset_schedule,
                timezone: self.timezone,
                closed: self.frozen,
            },
            season: self.season,
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

fn operator(text: &str) -> Result<Operator, Failure> {
    let found = [Operator::Sum, Operator::Best, Operator::Last].into_iter().find(|operator| operator.as_str() == text);
    found.ok_or_else(|| Failure::corrupt(format!("operator {text:?}")))
}

fn visibility(text: &str) -> Result<Visibility, Failure> {
    let found = [Visibility::Public, Visibility::Private].into_iter().find(|visibility| visibility.as_str() == text);
    found.ok_or_else(|| Failure::corrupt(format!("visibility {text:?}")))
}
