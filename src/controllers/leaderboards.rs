//! `/api/leaderboards` and `/api/leaderboards/{id}`: the definitions.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        caller::Caller,
        ids::{LeaderboardId, MAX_SCORE, Noun},
        leaderboard::{Bounds, Leaderboard, LeaderboardSettings, OnExceed, Operator, Order, Visibility},
        schedule::ResetSchedule,
    },
    http::{caller::Manager, problem::Problem},
    services::{error::ServiceError, leaderboards::Overview},
};

use super::{
    App,
    body::{self, Json, Unambiguous, broken, nullable, nullable_object, present},
    params::Segments,
    seasons,
    whole::Whole,
};

/// Settings of a leaderboard as clients write them, each of them optional.
#[derive(Debug, Clone, Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Only for a new leaderboard; it never changes.
    #[serde(default, deserialize_with = "present")]
    #[validate(custom(function = "body::slug"))]
    id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[validate(length(min = 1, max = 128), custom(function = "body::name"))]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[validate(length(max = 1024), custom(function = "body::lines_of_text"))]
    description: Option<String>,
    #[serde(default, deserialize_with = "body::word")]
    order: Option<Order>,
    #[serde(default, deserialize_with = "body::word")]
    operator: Option<Operator>,
    #[serde(default, deserialize_with = "present")]
    #[validate(length(min = 1, max = 32), custom(function = "body::name"))]
    unit: Option<String>,
    #[serde(default, deserialize_with = "body::word")]
    visibility: Option<Visibility>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    bounds: Option<Option<BoundsBody>>,
    #[serde(default, deserialize_with = "nullable")]
    reset_schedule: Option<Option<Unambiguous>>,
    #[serde(default, deserialize_with = "present")]
    #[validate(custom(function = "known_timezone"))]
    timezone: Option<String>,
    /// The first release called it `frozen`, which is still accepted.
    #[serde(default, alias = "frozen", deserialize_with = "present")]
    closed: Option<bool>,
}

/// Bounds as clients write them.
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[validate(schema(function = "in_order"))]
pub struct BoundsBody {
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    min: Whole,
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    max: Whole,
    #[serde(default, deserialize_with = "body::word")]
    on_exceed: Option<OnExceed>,
}

fn in_order(bounds: &BoundsBody) -> Result<(), ValidationError> {
    if bounds.min.0 <= bounds.max.0 { Ok(()) } else { Err(broken("order", "min must not be greater than max")) }
}

impl From<BoundsBody> for Bounds {
    fn from(BoundsBody { min: Whole(min), max: Whole(max), on_exceed }: BoundsBody) -> Self {
        Self { min, max, on_exceed: on_exceed.unwrap_or(OnExceed::Refuse) }
    }
}

pub(super) fn known_timezone(name: &str) -> Result<(), ValidationError> {
    name.parse::<chrono_tz::Tz>().map(drop).map_err(|_| broken("format", "must be an IANA time zone such as Europe/London"))
}

impl Settings {
    /// Refuses a change that names an id.
    fn without_id(&self) -> Result<(), ServiceError> {
        let refused = || ServiceError::invalid("id", "unknown-field", "an id cannot be changed");
        if self.id.is_some() { Err(refused()) } else { Ok(()) }
    }

    /// The schedule, if one is given.
    fn schedule(&self) -> Result<Option<Option<ResetSchedule>>, ServiceError> {
        let given = self.reset_schedule.as_ref();
        given.map(|schedule| schedule.as_ref().map(seasons::schedule).transpose()).transpose()
    }

    /// These settings over others.
    fn over(self, schedule: Option<Option<ResetSchedule>>, base: LeaderboardSettings) -> LeaderboardSettings {
        LeaderboardSettings {
            name: self.name.unwrap_or(base.name),
            description: self.description.unwrap_or(base.description),
            order: self.order.unwrap_or(base.order),
            operator: self.operator.unwrap_or(base.operator),
            unit: self.unit.unwrap_or(base.unit),
            visibility: self.visibility.unwrap_or(base.visibility),
            bounds: self.bounds.map_or(base.bounds, |bounds| bounds.map(Bounds::from)),
            reset_schedule: schedule.unwrap_or(base.reset_schedule),
            timezone: self.timezone.unwrap_or(base.timezone),
            closed: self.closed.unwrap_or(base.closed),
        }
    }
}

/// A definition with its counts.
#[derive(Serialize)]
struct View<'a> {
    #[serde(flatten)]
    leaderboard: &'a Leaderboard,
    season: i64,
    total: u64,
    watchers: u64,
}

impl<'a> From<&'a Overview> for View<'a> {
    fn from(overview: &'a Overview) -> Self {
        let Overview { leaderboard, total, watchers } = overview;
        Self { leaderboard, season: leaderboard.season, total: *total, watchers: *watchers }
    }
}

/// `GET /api/leaderboards`
pub async fn list(State(services): App, caller: Caller) -> Result<Response, Problem> {
    let overviews = services.leaderboards.list(&caller).await?;
    let views: Vec<View> = overviews.iter().map(View::from).collect();
    Ok(axum::Json(serde_json::json!({ "leaderboards": views })).into_response())
}

/// `GET /api/leaderboards/{id}`
pub async fn get(State(services): App, caller: Caller, Segments(id): Segments<String>) -> Result<Response, Problem> {
    let overview = services.leaderboards.get(&caller, &id).await?;
    Ok(axum::Json(View::from(&overview)).into_response())
}

/// `POST /api/leaderboards`
pub async fn create(State(services): App, Manager(caller): Manager, Json(settings): Json<Settings>) -> Result<Response, Problem> {
    let id = settings.id.as_deref().ok_or_else(|| ServiceError::invalid("id", "required", "a new leaderboard needs an id"))?;
    let id = LeaderboardId::parse(id).map_err(|error| ServiceError::invalid("id", "format", error.0))?;
    let schedule = settings.schedule()?;
    let settings = settings.over(schedule, LeaderboardSettings::named(id.as_str()));
    let overview = services.leaderboards.create(&caller, &id, &settings).await?;
    let location = [(header::LOCATION, format!("/api/leaderboards/{id}"))];
    Ok((StatusCode::CREATED, location, axum::Json(View::from(&overview))).into_response())
}

/// `PATCH /api/leaderboards/{id}`
pub async fn update(
    State(services): App,
    Manager(caller): Manager,
    Segments(id): Segments<String>,
    Json(settings): Json<Settings>,
) -> Result<Response, Problem> {
    let id = LeaderboardId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::Leaderboard))?;
    settings.without_id()?;
    let schedule = settings.schedule()?;
    let change = move |current: &Leaderboard| settings.over(schedule, current.settings.clone());
    let overview = services.leaderboards.update(&caller, &id, change).await?;
    Ok(axum::Json(View::from(&overview)).into_response())
}

/// `DELETE /api/leaderboards/{id}`
pub async fn delete(
    State(services): App,
    Manager(caller): Manager,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let id = LeaderboardId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::Leaderboard))?;
    services.leaderboards.delete(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
