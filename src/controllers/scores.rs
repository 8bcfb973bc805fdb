//! `POST /api/scores` and `/api/scores/batch`, `GET /api/users/{userId}/scores`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        ids::{ActionId, LeaderboardId, MAX_SCORE, UserId},
        submission::{Idempotency, PastStanding, ScoreEvent, Submission},
        time::Timestamp,
    },
    services::{
        error::ServiceError,
        scores::{Answer, fingerprint},
        tokens::{Principal, Scope},
    },
};

use super::{
    App, Caller, Submitter,
    body::{self, BATCH_BODY_LIMIT, Json, json_size},
    params::{Params, Segments},
    problem::Problem,
    whole::Whole,
};

/// Submissions in one batch at the most.
const BATCH: u64 = 1000;
/// Bytes of JSON that a score's metadata may take.
const METADATA_LIMIT: usize = 2048;

/// A submission as clients write it.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmissionBody {
    #[validate(custom(function = "body::slug"))]
    action_id: String,
    #[validate(custom(function = "body::user_id"))]
    user_id: String,
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    value: Option<Whole>,
    #[validate(custom(function = "small_metadata"))]
    metadata: Option<Map<String, Value>>,
    /// Within a batch only; a single submission brings it as a header.
    #[validate(custom(function = "visible_ascii"))]
    idempotency_key: Option<String>,
}

/// A batch. Its items are parsed one by one, so that a bad one does not spoil the others.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    #[validate(length(min = 1, max = "BATCH", message = "must hold between 1 and 1000 submissions"))]
    submissions: Vec<Box<RawValue>>,
}

fn small_metadata(metadata: &Map<String, Value>) -> Result<(), ValidationError> {
    json_size(metadata, METADATA_LIMIT)
}

fn visible_ascii(key: &str) -> Result<(), ValidationError> {
    if (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(body::broken("format", "must be 1 to 128 visible ASCII characters"))
}

/// `POST /api/scores`
pub async fn submit(
    State(services): App,
    Submitter(principal): Submitter,
    headers: HeaderMap,
    Json(mut body): Json<SubmissionBody>,
) -> Result<Response, Problem> {
    if body.idempotency_key.is_some() {
        let message = "a single submission brings its key in the header Idempotency-Key";
        return Err(ServiceError::invalid("idempotencyKey", "unknown-field", message).into());
    }
    body.idempotency_key = header_key(&headers)?;
    let submission = authorise(&principal, body)?;
    let answer = services.scores.submit(vec![submission]).await?.pop();
    let Answer { body, replayed } = answer.unwrap_or_else(|| Err(ServiceError::Internal("no answer".into())))?;
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// `POST /api/scores/batch`
pub async fn submit_batch(
    State(services): App,
    Submitter(principal): Submitter,
    request_id: axum::Extension<crate::middleware::request_id::RequestId>,
    headers: HeaderMap,
    Json(batch): Json<BatchBody, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    // Whoever sends it counts on a repeat being harmless; passing over it in silence would count that repeat twice.
    if headers.contains_key("idempotency-key") {
        let message = "a batch brings a key with each submission, as idempotencyKey";
        return Err(ServiceError::invalid("Idempotency-Key", "not-allowed", message).into());
    }
    let mut results: Vec<Option<Problem>> = Vec::with_capacity(batch.submissions.len());
    let mut submissions = Vec::with_capacity(batch.submissions.len());
    for item in &batch.submissions {
        let parsed = body::parse::<SubmissionBody>(item.get().as_bytes());
        match parsed.and_then(|item| authorise(&principal, item).map_err(Problem::from)) {
            Ok(submission) => {
                submissions.push(submission);
                results.push(None);
            }
            Err(problem) => results.push(Some(problem)),
        }
    }
    let mut answers = services.scores.submit(submissions).await?.into_iter();
    let items: Vec<String> = results
        .into_iter()
        .map(|refused| match refused {
            Some(problem) => item_of_problem(&problem, request_id.as_str()),
            None => match answers.next() {
                Some(Ok(answer)) => format!("{{\"status\":200,\"body\":{}}}", answer.body),
                Some(Err(error)) => item_of_problem(&error.into(), request_id.as_str()),
                None => item_of_problem(&Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR), request_id.as_str()),
            },
        })
        .collect();
    Ok(([(header::CONTENT_TYPE, "application/json")], format!("{{\"results\":[{}]}}", items.join(","))).into_response())
}

fn item_of_problem(problem: &Problem, request_id: &str) -> String {
    format!("{{\"status\":{},\"body\":{}}}", problem.status().as_u16(), problem.document(request_id))
}

/// The key in the header. Of two nobody can know which one counts.
fn header_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::repeated_header("Idempotency-Key"));
    }
    let key = value.to_str().ok().filter(|key| visible_ascii(key).is_ok());
    let refused = || ServiceError::invalid("Idempotency-Key", "format", "must be 1 to 128 visible ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| refused().into())
}

/// The submission, where this token may make it.
fn authorise(principal: &Principal, item: SubmissionBody) -> Result<Submission, ServiceError> {
    let invalid =
        |field: &'static str| move |error: crate::domain::ids::InvalidId| ServiceError::invalid(field, "format", error.0);
    let action_id = ActionId::parse(&item.action_id).map_err(invalid("actionId"))?;
    let user_id = UserId::parse_new(&item.user_id).map_err(invalid("userId"))?;
    let self_service_only = !principal.has(Scope::ScoresWrite);
    if self_service_only && *principal.subject != *user_id.as_str() {
        return Err(ServiceError::Forbidden("scope scores:self allows only the token's own userId".into()));
    }
    let value = item.value.map(|Whole(value)| value);
    let idempotency = item.idempotency_key.map(|key| {
        let fingerprint = fingerprint(&action_id, &user_id, value, item.metadata.as_ref());
        Idempotency { key, fingerprint }
    });
    Ok(Submission {
        subject: principal.subject.clone(),
        self_service_only,
        action_id,
        user_id,
        value,
        metadata: item.metadata,
        idempotency,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PastStandingView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    applied: bool,
    delta: i64,
    previous_score: Option<i64>,
    new_score: i64,
}

impl<'a> From<&'a PastStanding> for PastStandingView<'a> {
    fn from(standing: &'a PastStanding) -> Self {
        let PastStanding { leaderboard_id, season, applied, delta, previous_score, new_score } = standing;
        Self {
            leaderboard_id,
            season: *season,
            applied: *applied,
            delta: *delta,
            previous_score: *previous_score,
            new_score: *new_score,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScoreEventView<'a> {
    event_id: Uuid,
    action_id: &'a ActionId,
    user_id: &'a UserId,
    #[serde(flatten)]
    leading: PastStandingView<'a>,
    value: Option<i64>,
    metadata: Option<&'a Map<String, Value>>,
    at: Timestamp,
    standings: Vec<PastStandingView<'a>>,
}

impl<'a> ScoreEventView<'a> {
    fn new(event: &'a ScoreEvent) -> Option<Self> {
        Some(Self {
            event_id: event.event_id,
            action_id: &event.action_id,
            user_id: &event.user_id,
            leading: event.standings.first()?.into(),
            value: event.value,
            metadata: event.metadata.as_ref(),
            at: event.at,
            standings: event.standings.iter().map(PastStandingView::from).collect(),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryView<'a> {
    scores: Vec<ScoreEventView<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/users/{userId}/scores`: what private leaderboards hold needs `leaderboards:read`.
pub async fn history(
    State(services): App,
    caller: Caller,
    Segments(user_id): Segments<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let user_id = UserId::parse(&user_id).map_err(|_| ServiceError::NotFound("user"))?;
    let limit = params.number("limit", 1..=100, 20);
    let before = params.parsed("cursor", cursor_from);
    let leaderboard = params.parsed("leaderboardId", |id| LeaderboardId::parse(id).map_err(|error| error.0.to_owned()));
    params.finish()?;
    let leaderboard = match leaderboard {
        Some(id) => Some(services.leaderboards.readable(id.as_str(), caller.principal.as_deref()).await?.id),
        None => None,
    };
    let mut events = services.scores.history(&user_id, leaderboard.as_ref(), before, limit + 1).await?;
    let more = events.len() as i64 > limit;
    events.truncate(limit as usize);
    let next_cursor = events.last().filter(|_| more).map(|event| URL_SAFE_NO_PAD.encode(event.event_id.as_bytes()));
    services.leaderboards.hide_private(&mut events, caller.principal.as_deref());
    let scores = events.iter().filter_map(ScoreEventView::new).collect();
    Ok(axum::Json(HistoryView { scores, next_cursor }).into_response())
}

fn cursor_from(text: &str) -> Result<Uuid, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    bytes.ok_or_else(|| "must be a nextCursor of this server".to_owned())
}
