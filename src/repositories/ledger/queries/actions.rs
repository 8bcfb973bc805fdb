//! Actions: creating, changing and deleting them.

use diesel::{ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value, json};

use super::{
    super::super::{
        LedgerError,
        schema::{action_leaderboards, actions},
    },
    Conn, Db, Failure, audit, definitions, locks,
};
use crate::domain::{
    action::{Action, ActionSettings, Limit, Points},
    audit::{Act, Deed},
    definition::Changed,
    ids::{ActionId, LeaderboardId, Noun},
    time::Timestamp,
};

/// A row of `actions`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = actions, check_for_backend(Db))]
pub struct ActionRow {
    /// The action's id.
    pub id: String,
    name: String,
    points: Option<i64>,
    value_min: Option<i64>,
    value_max: Option<i64>,
    cooldown_seconds: i64,
    limit_count: Option<i64>,
    limit_per_seconds: Option<i64>,
    self_service: bool,
    enabled: bool,
    created_at: i64,
    updated_at: i64,
    /// JSON.
    review: Option<String>,
    run: Option<String>,
}

/// Creates an action.
pub async fn create(conn: &mut Conn, id: &ActionId, settings: &ActionSettings, act: &Act) -> Result<Action, Failure> {
    definitions::begin_change(conn, &[Changed::Action(id.clone())]).await?;
    if find(conn, id).await?.is_some() {
        return Err(LedgerError::Taken.into());
    }
    let action = Action { id: id.clone(), settings: settings.clone(), created_at: act.at, updated_at: act.at };
    insert(conn, &action).await?;
    audit::record(conn, act, &Deed::new("action.create", target(id), value_of(&action))).await?;
    Ok(action)
}

/// Changes the settings; if they stay the same, nothing happens.
pub async fn update(
    conn: &mut Conn,
    id: &ActionId,
    act: &Act,
    may: impl FnOnce(&Action) -> Result<(), LedgerError>,
    change: impl FnOnce(&Action) -> ActionSettings,
) -> Result<Action, Failure> {
    locks::definitions_exclusively(conn).await?;
    let before = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Action))?;
    may(&before)?;
    let settings = change(&before);
    if settings == before.settings {
        audit::record(conn, act, &Deed::new("action.update", target(id), Value::Object(Map::new()))).await?;
        return Ok(before);
    }
    let former = value_of(&before);
    definitions::begin_change(conn, &[Changed::Action(id.clone())]).await?;
    remove(conn, id).await?;
    let after = Action { settings, updated_at: act.at, ..before };
    insert(conn, &after).await?;
    audit::record(conn, act, &Deed::change("action.update", target(id), &former, &value_of(&after))).await?;
    Ok(after)
}

/// Deletes the action; scores that it has already given stay.
pub async fn delete(
    conn: &mut Conn,
    id: &ActionId,
    act: &Act,
    may: impl FnOnce(&Action) -> Result<(), LedgerError>,
) -> Result<(), Failure> {
    definitions::begin_change(conn, &[Changed::Action(id.clone())]).await?;
    may(&find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Action))?)?;
    remove(conn, id).await?;
    audit::record(conn, act, &Deed::new("action.delete", target(id), Value::Object(Map::new()))).await
}

fn target(id: &ActionId) -> String {
    format!("action:{id}")
}

fn value_of(action: &Action) -> Value {
    let settings = &action.settings;
    let points = match settings.points {
        Points::Fixed(points) => json!(points),
        Points::Range { min, max } => json!({ "min": min, "max": max }),
    };
    json!({
        "name": settings.name,
        "leaderboards": settings.leaderboards,
        "points": points,
        "cooldownSeconds": settings.cooldown_seconds,
        "limit": settings.limit.map(|limit| json!({ "count": limit.count, "perSeconds": limit.per_seconds })),
        "selfService": settings.self_service,
        "enabled": settings.enabled,
        "review": settings.review,
        "run": settings.run,
    })
}

/// The action of this id.
pub async fn find(conn: &mut Conn, id: &ActionId) -> Result<Option<Action>, Failure> {
    let row = actions::table.find(id.as_str()).select(ActionRow::as_select()).first(conn).await.optional()?;
    let Some(row) = row else { return Ok(None) };
    let fed: Vec<String> = action_leaderboards::table
        .filter(action_leaderboards::action_id.eq(id.as_str()))
        .order(action_leaderboards::position)
        .select(action_leaderboards::leaderboard_id)
        .load(conn)
        .await?;
    row.into_action(fed).map(Some)
}

async fn insert(conn: &mut Conn, action: &Action) -> Result<(), Failure> {
    diesel::insert_into(actions::table).values(ActionRow::of(action)?).execute(conn).await?;
    for (position, leaderboard) in (0..).zip(&action.settings.leaderboards) {
        let row: (_, _, _) = (
            action_leaderboards::action_id.eq(action.id.as_str()),
            action_leaderboards::position.eq::<i64>(position),
            action_leaderboards::leaderboard_id.eq(leaderboard.as_str()),
        );
        diesel::insert_into(action_leaderboards::table).values(row).execute(conn).await?;
    }
    Ok(())
}

async fn remove(conn: &mut Conn, id: &ActionId) -> Result<usize, Failure> {
    let fed = action_leaderboards::table.filter(action_leaderboards::action_id.eq(id.as_str()));
    diesel::delete(fed).execute(conn).await?;
    Ok(diesel::delete(actions::table.find(id.as_str())).execute(conn).await?)
}

impl ActionRow {
    fn of(action: &Action) -> Result<Self, Failure> {
        let settings = &action.settings;
        let (points, value_min, value_max) = match settings.points {
            Points::Fixed(points) => (Some(points), None, None),
            Points::Range { min, max } => (None, Some(min), Some(max)),
        };
        Ok(Self {
            id: action.id.to_string(),
            name: settings.name.clone(),
            points,
            value_min,
            value_max,
            cooldown_seconds: settings.cooldown_seconds,
            limit_count: settings.limit.map(|limit| limit.count),
            limit_per_seconds: settings.limit.map(|limit| limit.per_seconds),
            self_service: settings.self_service,
            enabled: settings.enabled,
            created_at: action.created_at.0,
            updated_at: action.updated_at.0,
            review: settings.review.as_ref().map(serde_json::to_string).transpose().map_err(Failure::corrupt)?,
            run: settings.run.as_ref().map(serde_json::to_string).transpose().map_err(Failure::corrupt)?,
        })
    }

    /// The action made of this row and its leaderboards, in order.
    pub fn into_action(self, leaderboards: Vec<String>) -> Result<Action, Failure> {
        let points = match (self.points, self.value_min, self.value_max) {
            (Some(points), _, _) => Points::Fixed(points),
            (None, Some(min), Some(max)) => Points::Range { min, max },
            _ => return Err(Failure::corrupt(format!("action {:?} has no points", self.id))),
        };
        let leaderboards = leaderboards.iter().map(|id| LeaderboardId::parse(id).map_err(Failure::corrupt));
        Ok(Action {
            id: ActionId::parse(&self.id).map_err(Failure::corrupt)?,
            settings: ActionSettings {
                name: self.name,
                leaderboards: leaderboards.collect::<Result<_, _>>()?,
                points,
                cooldown_seconds: self.cooldown_seconds,
                limit: self.limit_count.zip(self.limit_per_seconds).map(|(count, per_seconds)| Limit { count, per_seconds }),
                self_service: self.self_service,
                enabled: self.enabled,
                review: self.review.as_deref().map(serde_json::from_str).transpose().map_err(Failure::corrupt)?,
                run: self.run.as_deref().map(serde_json::from_str).transpose().map_err(Failure::corrupt)?,
            },
            created_at: Timestamp(self.created_at),
            updated_at: Timestamp(self.updated_at),
        })
    }
}
