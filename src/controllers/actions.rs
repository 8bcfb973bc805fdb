//! `/api/actions` and `/api/actions/{id}`: the scoring rules.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        action::{Action, ActionSettings, Limit, Points},
        caller::{Caller, Permission},
        ids::{ActionId, LeaderboardId, MAX_SCORE, Noun},
        review::ReviewRule,
        run::RunRule,
        time::Timestamp,
    },
    http::{caller::Manager, problem::Problem},
    services::error::{FieldError, ServiceError},
};

use super::{
    App,
    body::{self, Json, broken, distinct_slugs, nullable, nullable_object, present},
    fair_play::{ReviewBody, RunBody},
    params::Segments,
    whole::Whole,
};

/// The longest cooldown or limit period: a year.
const LONGEST: i64 = 31_536_000;

/// The bounds of a value, both included.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "ordered"))]
pub struct ValueBody {
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    min: Whole,
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    max: Whole,
}

/// At most `count` in any `perSeconds`.
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitBody {
    #[validate(range(min = 1, max = 1_000_000))]
    count: Whole,
    #[validate(range(min = 1, max = "LONGEST"))]
    per_seconds: Whole,
}

/// Settings of an action as clients write them, each of them optional.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Only for a new action; it never changes.
    #[serde(default, deserialize_with = "present")]
    #[validate(custom(function = "body::slug"))]
    id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[validate(length(min = 1, max = 128), custom(function = "body::name"))]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[validate(length(min = 1, max = 16), custom(function = "distinct_slugs"))]
    leaderboards: Option<Vec<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    points: Option<Option<Whole>>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    value: Option<Option<ValueBody>>,
    #[serde(default, deserialize_with = "present")]
    #[validate(range(min = 0, max = "LONGEST"))]
    cooldown_seconds: Option<Whole>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    limit: Option<Option<LimitBody>>,
    #[serde(default, deserialize_with = "present")]
    self_service: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    review: Option<Option<ReviewBody>>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    run: Option<Option<RunBody>>,
}

fn ordered(value: &ValueBody) -> Result<(), ValidationError> {
    if value.min > value.max { Err(broken("range", "min must not be greater than max")) } else { Ok(()) }
}

impl Settings {
    /// Refuses a change that names an id.
    fn without_id(&self) -> Result<(), ServiceError> {
        let refused = || ServiceError::invalid("id", "unknown-field", "an id cannot be changed");
        if self.id.is_some() { Err(refused()) } else { Ok(()) }
    }

    /// The points that these settings request, over the present ones; an error if both kinds or neither would be given.
    fn points(&self, base: Option<Points>) -> Result<Points, ServiceError> {
        let (fixed, range) = match base {
            Some(Points::Fixed(points)) => (Some(Whole(points)), None),
            Some(Points::Range { min, max }) => (None, Some(ValueBody { min: Whole(min), max: Whole(max) })),
            None => (None, None),
        };
        // Naming the one kind replaces the other.
        let fixed = self.points.unwrap_or(if matches!(self.value, Some(Some(_))) { None } else { fixed });
        let range = self.value.unwrap_or(if matches!(self.points, Some(Some(_))) { None } else { range });
        match (fixed, range) {
            (Some(Whole(points)), None) => Ok(Points::Fixed(points)),
            (None, Some(ValueBody { min: Whole(min), max: Whole(max) })) => Ok(Points::Range { min, max }),
            (None, None) => Err(ServiceError::invalid("points", "required", "an action needs points, or a value range")),
            (Some(_), Some(_)) => {
                Err(ServiceError::invalid("points", "exclusive", "an action has points or a value range, not both"))
            }
        }
    }

    fn leaderboards(&self) -> Result<Option<Vec<LeaderboardId>>, ServiceError> {
        let parse = |(index, id): (usize, &String)| {
            let field = || FieldError::new(format!("leaderboards[{index}]"), "format", "is no leaderboard id");
            LeaderboardId::parse(id).map_err(|_| ServiceError::Invalid(vec![field()]))
        };
        self.leaderboards.as_ref().map(|ids| ids.iter().enumerate().map(parse).collect()).transpose()
    }

    /// These settings over others; the parts that can fail are computed before.
    fn over(self, base: ActionSettings, points: Points, leaderboards: Option<Vec<LeaderboardId>>) -> ActionSettings {
        let limit = |limit: LimitBody| Limit { count: limit.count.0, per_seconds: limit.per_seconds.0 };
        ActionSettings {
            name: self.name.unwrap_or(base.name),
            leaderboards: leaderboards.unwrap_or(base.leaderboards),
            points,
            cooldown_seconds: self.cooldown_seconds.map_or(base.cooldown_seconds, |Whole(seconds)| seconds),
            limit: self.limit.map_or(base.limit, |given| given.map(limit)),
            self_service: self.self_service.unwrap_or(base.self_service),
            enabled: self.enabled.unwrap_or(base.enabled),
            review: self.review.map_or(base.review, |given| given.and_then(ReviewBody::rule)),
            run: self.run.map_or(base.run, |given| given.map(RunBody::rule)),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: &'a ActionId,
    name: &'a str,
    leaderboards: &'a [LeaderboardId],
    points: Option<i64>,
    value: Option<ValueBody>,
    cooldown_seconds: i64,
    limit: Option<Limit>,
    self_service: bool,
    enabled: bool,
    /// `None` also for whoever neither manages nor moderates: it tells cheaters where the line is.
    review: Option<ReviewRule>,
    run: Option<RunRule>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> View<'a> {
    fn new(action: &'a Action, caller: &Caller) -> Self {
        let settings = &action.settings;
        let (points, value) = match settings.points {
            Points::Fixed(points) => (Some(points), None),
            Points::Range { min, max } => (None, Some(ValueBody { min: Whole(min), max: Whole(max) })),
        };
        Self {
            id: &action.id,
            name: &settings.name,
            leaderboards: &settings.leaderboards,
            points,
            value,
            cooldown_seconds: settings.cooldown_seconds,
            limit: settings.limit,
            self_service: settings.self_service,
            enabled: settings.enabled,
            review: settings.review.filter(|_| is_told(caller, &settings.leaderboards)),
            run: settings.run,
            created_at: action.created_at,
            updated_at: action.updated_at,
        }
    }
}

/// Whether the caller manages or moderates everything that the action feeds.
fn is_told(caller: &Caller, leaderboards: &[LeaderboardId]) -> bool {
    let may = |permission| leaderboards.iter().all(|id| caller.may_on(permission, id.as_str()));
    may(Permission::Manage) || may(Permission::Moderate)
}

/// `GET /api/actions`
pub async fn list(State(services): App, caller: Caller) -> Result<Response, Problem> {
    let actions = services.actions.list(&caller)?;
    let views: Vec<View> = actions.iter().map(|action| View::new(action, &caller)).collect();
    Ok(axum::Json(serde_json::json!({ "actions": views })).into_response())
}

/// `GET /api/actions/{id}`
pub async fn get(State(services): App, caller: Caller, Segments(id): Segments<String>) -> Result<Response, Problem> {
    let action = services.actions.visible(&caller, &id).await?;
    Ok(axum::Json(View::new(&action, &caller)).into_response())
}

/// `POST /api/actions`
pub async fn create(State(services): App, Manager(caller): Manager, Json(settings): Json<Settings>) -> Result<Response, Problem> {
    let id = settings.id.as_deref().ok_or_else(|| ServiceError::invalid("id", "required", "a new action needs an id"))?;
    let id = ActionId::parse(id).map_err(|error| ServiceError::invalid("id", "format", error.0))?;
    let points = settings.points(None)?;
    let leaderboards = settings.leaderboards()?;
    if leaderboards.is_none() {
        return Err(ServiceError::invalid("leaderboards", "required", "an action feeds one leaderboard at least").into());
    }
    let base = ActionSettings {
        name: id.to_string(),
        leaderboards: Vec::new(),
        points,
        cooldown_seconds: 0,
        limit: None,
        self_service: false,
        enabled: true,
        review: None,
        run: None,
    };
    let settings = settings.over(base, points, leaderboards);
    let action = services.actions.create(&caller, &id, &settings).await?;
    let location = [(header::LOCATION, format!("/api/actions/{id}"))];
    Ok((StatusCode::CREATED, location, axum::Json(View::new(&action, &caller))).into_response())
}

/// `PATCH /api/actions/{id}`
pub async fn update(
    State(services): App,
    Manager(caller): Manager,
    Segments(id): Segments<String>,
    Json(settings): Json<Settings>,
) -> Result<Response, Problem> {
    let id = ActionId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::Action))?;
    settings.without_id()?;
    if settings.run.is_some_and(|run| run.is_some()) {
        services.actions.may_be_of_runs(&caller)?;
    }
    let present = services.actions.get(&caller, id.as_str()).await?.settings.points;
    // Whether the result has exactly one kind of points depends on the change alone, unless both kinds are removed.
    settings.points(Some(present))?;
    let leaderboards = settings.leaderboards()?;
    let named = leaderboards.clone();
    let change = move |current: &Action| {
        let points = settings.points(Some(current.settings.points)).unwrap_or(current.settings.points);
        settings.over(current.settings.clone(), points, leaderboards)
    };
    let action = services.actions.update(&caller, &id, named.as_deref(), change).await?;
    Ok(axum::Json(View::new(&action, &caller)).into_response())
}

/// `DELETE /api/actions/{id}`
pub async fn delete(
    State(services): App,
    Manager(caller): Manager,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let id = ActionId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::Action))?;
    services.actions.delete(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
