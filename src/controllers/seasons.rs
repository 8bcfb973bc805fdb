//! `/api/leaderboards/{id}/seasons` and `/api/schedules/preview`: seasons and the boundaries between them.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use validator::Validate;

use crate::{
    domain::{
        caller::Caller,
        ids::{LeaderboardId, Noun},
        leaderboard::{Bounds, InvalidSetting, Leaderboard, Operator, Order},
        schedule::ResetSchedule,
        season::{Season, SeasonCause, SeasonChoice, SeasonState},
        submission::RequestKey,
        time::Timestamp,
        version::Version,
    },
    http::{caller::Manager, problem::Problem},
    services::{
        Services,
        error::ServiceError,
        seasons::{Chosen, EndSeason, SeasonOverview},
        views,
    },
};

use super::{
    App,
    body::{self, Json, Unambiguous, nullable},
    params::{Params, Segments, next_cursor},
    scores::{as_replay, header_key},
    whole::Whole,
};

/// The most boundaries in a preview, and how many there are by default.
const PREVIEW: std::ops::RangeInclusive<i64> = 1..=100;
const PREVIEWED: i64 = 10;

/// The season that a reader asks for: the parameter `season`.
pub fn choice(params: &mut Params) -> SeasonChoice {
    params.parsed("season", parse_choice).unwrap_or(SeasonChoice::Current)
}

/// The season that a text names.
pub fn parse_choice(text: &str) -> Result<SeasonChoice, String> {
    SeasonChoice::parse(text).ok_or_else(|| "must be current, previous or a number from 1 on".to_owned())
}

/// The season in a path.
fn named(text: &str) -> Result<SeasonChoice, ServiceError> {
    SeasonChoice::parse(text).ok_or(ServiceError::NotFound(Noun::Season))
}

/// The ranking that a reader asks for.
pub async fn chosen(services: &Services, leaderboard: Leaderboard, choice: SeasonChoice) -> Result<Chosen, ServiceError> {
    match choice {
        SeasonChoice::Current => Ok(Chosen::Current(Box::new(leaderboard))),
        choice => services.seasons.choose(leaderboard, choice).await,
    }
}

/// A season as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    name: Option<&'a str>,
    state: SeasonState,
    cause: SeasonCause,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    order: Order,
    operator: Operator,
    bounds: Option<Bounds>,
    total: Option<u64>,
    version: Option<&'a Version>,
    digest: Option<&'a str>,
    finalized_at: Option<Timestamp>,
    revised_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_zero")]
    skipped: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl<'a> View<'a> {
    fn new(leaderboard_id: &'a LeaderboardId, season: &'a Season, total: Option<u64>, version: Option<&'a Version>) -> Self {
        let state = season.told_state();
        let result = season.result.as_ref().filter(|_| state == SeasonState::Final);
        Self {
            leaderboard_id,
            season: season.number,
            name: season.name.as_deref(),
            state,
            cause: season.cause,
            starts_at: season.starts_at,
            ends_at: season.ends_at,
            order: season.rules.order,
            operator: season.rules.operator,
            bounds: season.rules.bounds,
            total,
            version,
            digest: result.map(|result| result.digest.as_str()),
            finalized_at: result.map(|result| result.finalized_at),
            revised_at: season.revised_at,
            skipped: season.skipped,
        }
    }

    fn of(leaderboard_id: &'a LeaderboardId, overview: &'a SeasonOverview) -> Self {
        Self::new(leaderboard_id, &overview.season, overview.total, overview.version.as_ref())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    seasons: Vec<View<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/leaderboards/{id}/seasons`
pub async fn list(
    State(services): App,
    caller: Caller,
    Segments(id): Segments<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    let limit = params.number("limit", 1..=1000, 50);
    let before = params.cursor().map(i64::from_be_bytes);
    params.finish()?;
    let page = services.seasons.page(&leaderboard, before, limit).await?;
    let seasons = page.seasons.iter().map(|season| View::of(&leaderboard.id, season)).collect();
    let next_cursor = page.next.map(|last| next_cursor(last.to_be_bytes()));
    Ok(axum::Json(PageView { seasons, next_cursor }).into_response())
}

/// `GET /api/leaderboards/{id}/seasons/{n}`
pub async fn get(
    State(services): App,
    caller: Caller,
    Segments((id, season)): Segments<(String, String)>,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    let season = services.seasons.get(&leaderboard, named(&season)?).await?;
    Ok(axum::Json(View::of(&leaderboard.id, &season)).into_response())
}

/// The body of a request to end the current season.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct EndBody {
    /// The season to end, so that a repeat ends no other one.
    #[validate(range(min = 1))]
    ends: Whole,
    /// The name of the next one.
    #[validate(length(min = 1, max = 128), custom(function = "body::name"))]
    name: Option<String>,
}

/// `POST /api/leaderboards/{id}/seasons`
pub async fn end(
    State(services): App,
    Manager(caller): Manager,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    Json(EndBody { ends: Whole(ends), name }): Json<EndBody>,
) -> Result<Response, Problem> {
    let id = LeaderboardId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::Leaderboard))?;
    let subject = caller.subject().ok_or(ServiceError::Unauthenticated)?;
    let key = header_key(&headers)?.map(|key| RequestKey {
        subject: subject.to_string(),
        key,
        fingerprint: Sha256::digest(serde_json::json!(["end season", id, ends, name]).to_string()).into(),
    });
    let of = id.clone();
    let answer = move |season: &Season| views::json(&View::new(&of, season, Some(0), None));
    let (body, replayed) = services.seasons.end(&caller, &id, EndSeason { ends, name, key }, answer).await?;
    let location = format!("/api/leaderboards/{id}/seasons/{}", ends + 1);
    let content_type = (header::CONTENT_TYPE, "application/json".to_owned());
    Ok(as_replay((StatusCode::CREATED, [(header::LOCATION, location), content_type], body).into_response(), replayed))
}

/// The body of a change of a season.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RenameBody {
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(min = 1, max = 128), custom(function = "body::name"))]
    name: Option<Option<String>>,
}

/// `PATCH /api/leaderboards/{id}/seasons/{n}`
pub async fn rename(
    State(services): App,
    Manager(caller): Manager,
    Segments((id, season)): Segments<(String, String)>,
    Json(body): Json<RenameBody>,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.definition(&caller, &id).await?;
    let choice = named(&season)?;
    // Without a name it is what an administrator did all the same, and stands in the audit trail.
    let name = match body.name {
        Some(name) => name,
        None => services.seasons.get(&leaderboard, choice).await?.season.name,
    };
    let season = services.seasons.rename(&caller, &leaderboard, choice, name).await?;
    Ok(axum::Json(View::of(&leaderboard.id, &season)).into_response())
}

/// The body of a preview.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewBody {
    reset_schedule: Unambiguous,
    #[validate(custom(function = "super::leaderboards::known_timezone"))]
    timezone: Option<String>,
    after: Option<String>,
    #[validate(range(min = "*PREVIEW.start()", max = "*PREVIEW.end()"))]
    count: Option<Whole>,
}

/// `POST /api/schedules/preview`
pub async fn preview(State(services): App, Json(body): Json<PreviewBody>) -> Result<Response, Problem> {
    let PreviewBody { reset_schedule, timezone, after, count } = body;
    let now = services.seasons.clock.now();
    let time = |text: String| {
        let refused = |_| ServiceError::invalid("after", "format", "must be a time such as 2026-11-23T00:00:00Z");
        text.parse::<Timestamp>().map_err(refused)
    };
    let after = after.map(time).transpose()?.unwrap_or(now);
    let zone = timezone.and_then(|name| name.parse().ok()).unwrap_or_default();
    let schedule = schedule(&reset_schedule)?;
    schedule.check(zone, after).map_err(|error| {
        let InvalidSetting { field, message } = InvalidSetting::in_schedule(error.field, error.reason);
        ServiceError::invalid(field, "format", message)
    })?;
    let count = usize::try_from(count.map_or(PREVIEWED, |Whole(count)| count)).unwrap_or(0);
    let boundaries: Vec<Timestamp> = schedule.boundaries(zone, after).take(count).collect();
    Ok(axum::Json(serde_json::json!({ "boundaries": boundaries })).into_response())
}

/// A schedule as clients write it.
pub fn schedule(Unambiguous(written): &Unambiguous) -> Result<ResetSchedule, ServiceError> {
    ResetSchedule::from_json(&Value::Object(written.clone())).map_err(|error| {
        let InvalidSetting { field, message } = InvalidSetting::in_schedule(error.field, error.reason);
        ServiceError::invalid(field, "format", message)
    })
}
