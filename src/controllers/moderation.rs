//! `/api/moderation/decisions`: what moderators decide about users and scores.

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use validator::Validate;

use crate::{
    domain::{
        caller::{Caller, Permission},
        decision::{CorrectedEntry, Decision, DecisionFilter, Measure},
        ids::{Noun, UserId},
        submission::RequestKey,
        time::Timestamp,
    },
    http::{caller::Moderator, problem::Problem, request_id::RequestId},
    services::{Services, error::ServiceError, moderation::Ruling, views},
};

use super::{
    App,
    body::{BATCH_BODY_LIMIT, Json},
    params::{Params, Segments, next_cursor},
    rulings,
    scores::{as_replay, header_key, item_of_problem},
};

/// The names of the types.
const TYPES: [&str; 6] = ["hide", "ban", "void", "adjust", "rename", "erase"];

/// A decision as moderators see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: Uuid,
    #[serde(flatten)]
    measure: &'a Measure,
    reason: &'a str,
    subject: &'a str,
    at: Timestamp,
    active: bool,
    ended_at: Option<Timestamp>,
    entries: &'a [CorrectedEntry],
}

impl<'a> View<'a> {
    fn new(decision: &'a Decision, now: Timestamp) -> Self {
        Self {
            id: decision.id,
            measure: &decision.measure,
            reason: &decision.reason,
            subject: &decision.subject,
            at: decision.at,
            active: decision.is_active(now),
            ended_at: decision.ended_at,
            entries: &decision.entries,
        }
    }
}

/// The body of a request to decide.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionsBody {
    /// Each is parsed by itself.
    #[validate(length(min = 1, max = 1000))]
    decisions: Vec<Box<RawValue>>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/moderation/decisions`
pub async fn decide(
    State(services): App,
    Moderator(caller): Moderator,
    request_id: axum::Extension<RequestId>,
    headers: HeaderMap,
    Json(body): Json<DecisionsBody, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    let DecisionsBody { decisions, dry_run } = body;
    let key = header_key(&headers)?.filter(|_| !dry_run);
    let subject = caller.subject().ok_or(ServiceError::Unauthenticated)?.to_string();
    let key = key.map(|key| RequestKey { subject, key, fingerprint: fingerprint("decisions", &decisions) });
    if let Some(key) = &key
        && let Some(answer) = services.moderation.answered(&caller, key).await?
    {
        return Ok(answered(answer, true));
    }
    let parsed: Vec<Result<Ruling, Problem>> = decisions.iter().map(|item| rulings::parse(item)).collect();
    let rulings = parsed.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut decided = services.moderation.decide(&caller, rulings, key.as_ref(), dry_run).await?.into_iter();
    let (mut items, mut failed) = (Vec::with_capacity(parsed.len()), false);
    for item in parsed {
        let decided = match item {
            Ok(_) => decided.next().unwrap_or_else(|| Err(ServiceError::Internal("a decision has no answer".into()))),
            Err(problem) => {
                items.push(item_of_problem(&problem, request_id.as_str()));
                continue;
            }
        };
        items.push(match decided {
            Ok(decision) => {
                let body = views::json(&View::new(&decision, services.moderation.clock.now()));
                format!("{{\"status\":200,\"body\":{body}}}")
            }
            Err(error) => {
                let problem = Problem::from(error);
                failed |= problem.status().is_server_error();
                item_of_problem(&problem, request_id.as_str())
            }
        });
    }
    let answer = format!("{{\"results\":[{}]}}", items.join(","));
    answer_under(&services, &caller, key.filter(|_| !failed).as_ref(), answer).await
}

/// The answer, stored under its key. Without one, because none was sent or because what failed may succeed when it is repeated, it is not stored.
pub(super) async fn answer_under(
    services: &Services,
    caller: &Caller,
    key: Option<&RequestKey>,
    answer: String,
) -> Result<Response, Problem> {
    let Some(key) = key else { return Ok(answered(answer, false)) };
    let stored = services.moderation.store_answer(caller, key, answer.clone()).await?;
    let replayed = stored != answer;
    Ok(answered(stored, replayed))
}

/// SHA-256 of what is asked for.
pub(super) fn fingerprint(kind: &str, items: &[Box<RawValue>]) -> [u8; 32] {
    let values = items.iter().map(|item| serde_json::from_str::<serde_json::Value>(item.get()).unwrap_or_default());
    let values: Vec<serde_json::Value> = values.collect();
    Sha256::digest(serde_json::json!([kind, values]).to_string()).into()
}

pub(super) fn answered(body: String, replayed: bool) -> Response {
    as_replay(([(header::CONTENT_TYPE, "application/json")], body).into_response(), replayed)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    decisions: Vec<View<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/moderation/decisions`
pub async fn list(State(services): App, caller: Caller, mut params: Params) -> Result<Response, Problem> {
    caller.authorize(Permission::Moderate).map_err(ServiceError::from)?;
    let limit = params.number("limit", 1..=100, 20);
    let filter = DecisionFilter {
        user_id: params.parsed("userId", |id| UserId::parse(id).map_err(|error| error.0.to_owned())),
        kind: params.parsed("type", |name| match TYPES.contains(&name) {
            true => Ok(name.to_owned()),
            false => Err(format!("must be {}", TYPES.join(", "))),
        }),
        active: params.parsed("active", |text| text.parse().map_err(|_| "must be true or false".to_owned())),
        before: params.cursor().map(i64::from_be_bytes),
    };
    params.finish()?;
    let page = services.moderation.page(&caller, &filter, limit).await?;
    let decisions = page.decisions.iter().map(|decision| View::new(decision, page.now)).collect();
    let next_cursor = page.next.map(|last| next_cursor(last.to_be_bytes()));
    Ok(axum::Json(PageView { decisions, next_cursor }).into_response())
}

/// `DELETE /api/moderation/decisions/{id}`
pub async fn take_back(
    State(services): App,
    Moderator(caller): Moderator,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| ServiceError::NotFound(Noun::Decision))?;
    let decision = services.moderation.take_back(&caller, id).await?;
    Ok(axum::Json(View::new(&decision, services.moderation.clock.now())).into_response())
}
