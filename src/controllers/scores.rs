//! `POST /api/scores` and `/api/scores/batch`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use validator::{Validate, ValidationError};

use crate::{
    domain::ids::{ActionId, MAX_SCORE, UserId},
    http::{caller::Submitter, problem::Problem, request_id::RequestId},
    services::{
        error::ServiceError,
        scores::{Answer, Score},
    },
};

use super::{
    App,
    body::{self, BATCH_BODY_LIMIT, Json, json_size},
    whole::Whole,
};

/// The most submissions in one batch.
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
    #[serde(default, deserialize_with = "body::unambiguous")]
    #[validate(custom(function = "small_metadata"))]
    metadata: Option<Map<String, Value>>,
    /// The season of the action's first leaderboard that it is meant for.
    #[validate(range(min = 1))]
    season: Option<Whole>,
    /// Names the user if nobody has yet.
    #[validate(length(min = 1, max = 64), custom(function = "body::name"))]
    display_name: Option<String>,
    /// Within a batch only; a single submission has it in a header.
    #[validate(custom(function = "visible_ascii"))]
    idempotency_key: Option<String>,
    /// That of the run that it ends: it is the idempotency key.
    run_token: Option<String>,
}

/// A batch. Its items are parsed one by one, so that an invalid one does not spoil the others.
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
    Submitter(caller): Submitter,
    headers: HeaderMap,
    Json(mut body): Json<SubmissionBody>,
) -> Result<Response, Problem> {
    if body.idempotency_key.is_some() {
        let message = "a single submission brings its key in the header Idempotency-Key";
        return Err(ServiceError::invalid("idempotencyKey", "unknown-field", message).into());
    }
    body.idempotency_key = header_key(&headers)?;
    let answer = services.scores.submit(&caller, vec![score(body)?]).await?.pop();
    let Answer { body, replayed } = answer.unwrap_or_else(|| Err(ServiceError::Internal("no answer".into())))?;
    Ok(as_replay(([(header::CONTENT_TYPE, "application/json")], body).into_response(), replayed))
}

/// `POST /api/scores/batch`
pub async fn submit_batch(
    State(services): App,
    Submitter(caller): Submitter,
    request_id: axum::Extension<RequestId>,
    headers: HeaderMap,
    Json(batch): Json<BatchBody, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    // A client that sends it relies on repeats being harmless; ignoring it silently would count the repeat twice.
    if headers.contains_key("idempotency-key") {
        let message = "a batch brings a key with each submission, as idempotencyKey";
        return Err(ServiceError::invalid("Idempotency-Key", "not-allowed", message).into());
    }
    let mut results: Vec<Option<Problem>> = Vec::with_capacity(batch.submissions.len());
    let mut scores = Vec::with_capacity(batch.submissions.len());
    for item in &batch.submissions {
        let parsed = body::parse::<SubmissionBody>(item.get().as_bytes());
        match parsed.and_then(|item| score(item).map_err(Problem::from)) {
            Ok(score) => {
                scores.push(score);
                results.push(None);
            }
            Err(problem) => results.push(Some(problem)),
        }
    }
    let mut answers = services.scores.submit(&caller, scores).await?.into_iter();
    let items: Vec<String> = results
        .into_iter()
        .map(|refused| match refused {
            Some(problem) => item_of_problem(&problem, request_id.as_str()),
            None => match answers.next() {
                Some(Ok(Answer { body, replayed: false })) => format!("{{\"status\":200,\"body\":{body}}}"),
                Some(Ok(Answer { body, replayed: true })) => format!("{{\"status\":200,\"replayed\":true,\"body\":{body}}}"),
                Some(Err(error)) => item_of_problem(&error.into(), request_id.as_str()),
                None => item_of_problem(&Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR), request_id.as_str()),
            },
        })
        .collect();
    Ok(([(header::CONTENT_TYPE, "application/json")], format!("{{\"results\":[{}]}}", items.join(","))).into_response())
}

/// A problem as the answer to one item of several.
pub(super) fn item_of_problem(problem: &Problem, request_id: &str) -> String {
    format!("{{\"status\":{},\"body\":{}}}", problem.status().as_u16(), problem.document(request_id))
}

/// The answer to a request with an idempotency key, saying so if it is a repeat.
pub(super) fn as_replay(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// The key in the header. Two different keys would be ambiguous.
pub(super) fn header_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::repeated_header("Idempotency-Key"));
    }
    let key = value.to_str().ok().filter(|key| visible_ascii(key).is_ok());
    let refused = || ServiceError::invalid("Idempotency-Key", "format", "must be 1 to 128 visible ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| refused().into())
}

/// The score in the body.
fn score(body: SubmissionBody) -> Result<Score, ServiceError> {
    let invalid =
        |field: &'static str| move |error: crate::domain::ids::InvalidId| ServiceError::invalid(field, "format", error.0);
    let SubmissionBody { action_id, user_id, value, metadata, season, display_name, idempotency_key, run_token } = body;
    if run_token.is_some() && idempotency_key.is_some() {
        let message = "a runToken is the idempotency key: there cannot be another one";
        return Err(ServiceError::invalid("runToken", "exclusive", message));
    }
    Ok(Score {
        action_id: ActionId::parse(&action_id).map_err(invalid("actionId"))?,
        user_id: UserId::parse_new(&user_id).map_err(invalid("userId"))?,
        value: value.map(|Whole(value)| value),
        metadata,
        season: season.map(|Whole(season)| season),
        display_name,
        idempotency_key,
        run_token,
    })
}
