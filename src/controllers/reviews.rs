//! `/api/moderation/reviews`: suspicious scores, and what moderators say about them.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        caller::{Caller, Permission},
        decision::CorrectedEntry,
        ids::{LeaderboardId, UserId},
        review::{Judgement, Review, ReviewCase, ReviewFilter, ReviewState, Trip, Verdict, WouldBe},
        submission::RequestKey,
        time::Timestamp,
    },
    http::{caller::Moderator, problem::Problem, request_id::RequestId},
    services::{error::ServiceError, reviews::Outcome, views},
};

use super::{
    App,
    body::{self, BATCH_BODY_LIMIT, Json, broken},
    history::ScoreEventView,
    moderation::{answer_under, answered, fingerprint},
    params::{Params, next_cursor},
    rulings,
    scores::{header_key, item_of_problem},
};

/// The most reviews of a page: each is folded to say what it would do.
const PAGE: usize = 50;

/// A review, and its last verdict.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewView<'a> {
    event_id: Uuid,
    user_id: &'a UserId,
    state: ReviewState,
    tripped: &'a [Trip],
    /// The name that the score brings.
    display_name: Option<&'a str>,
    /// Those of the last verdict; `None` if there was none.
    reason: Option<&'a str>,
    subject: Option<&'a str>,
    judged_at: Option<Timestamp>,
}

impl<'a> From<&'a Review> for ReviewView<'a> {
    fn from(review: &'a Review) -> Self {
        let verdict = review.verdict.as_ref();
        Self {
            event_id: review.event_id,
            user_id: &review.user_id,
            state: review.state,
            tripped: &review.tripped,
            display_name: review.display_name.as_deref(),
            reason: verdict.map(|(reason, ..)| reason.as_str()),
            subject: verdict.map(|(_, subject, _)| subject.as_str()),
            judged_at: verdict.map(|(.., at)| *at),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WouldBeView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    score: Option<i64>,
    would_be_score: Option<i64>,
    would_be_rank: Option<u64>,
}

impl<'a> From<&'a WouldBe> for WouldBeView<'a> {
    fn from(would_be: &'a WouldBe) -> Self {
        let WouldBe { leaderboard_id, season, score, would_be_score, would_be_rank } = would_be;
        Self { leaderboard_id, season: *season, score: *score, would_be_score: *would_be_score, would_be_rank: *would_be_rank }
    }
}

/// A review with what a moderator decides by.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CaseView<'a> {
    #[serde(flatten)]
    review: ReviewView<'a>,
    event: Option<ScoreEventView<'a>>,
    standings: Vec<WouldBeView<'a>>,
    recent: Vec<ScoreEventView<'a>>,
}

impl<'a> From<&'a ReviewCase> for CaseView<'a> {
    fn from(case: &'a ReviewCase) -> Self {
        Self {
            review: (&case.review).into(),
            event: ScoreEventView::new(&case.event),
            standings: case.would_be.iter().map(WouldBeView::from).collect(),
            recent: case.recent.iter().filter_map(ScoreEventView::new).collect(),
        }
    }
}

/// A verdict that is in force.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeView<'a> {
    #[serde(flatten)]
    review: ReviewView<'a>,
    entries: &'a [CorrectedEntry],
}

impl<'a> From<&'a Outcome> for OutcomeView<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        Self { review: (&outcome.review).into(), entries: &outcome.entries }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    reviews: Vec<CaseView<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/moderation/reviews`
pub async fn list(State(services): App, caller: Caller, mut params: Params) -> Result<Response, Problem> {
    caller.authorize(Permission::Moderate).map_err(ServiceError::from)?;
    let limit = params.number("limit", 1..=PAGE, 20);
    let named = |name: &str| ReviewState::named(name).ok_or_else(|| "must be pending, approved or rejected".to_owned());
    let filter = ReviewFilter {
        state: params.parsed("state", named).unwrap_or(ReviewState::Pending),
        leaderboard: params.parsed("leaderboardId", |id| LeaderboardId::parse(id).map_err(|error| error.0.to_owned())),
        before: params.cursor().map(Uuid::from_bytes),
    };
    params.finish()?;
    let page = services.reviews.page(&caller, &filter, limit).await?;
    let reviews = page.cases.iter().map(CaseView::from).collect();
    let next_cursor = page.next.map(|last| next_cursor(last.as_bytes()));
    Ok(axum::Json(PageView { reviews, next_cursor }).into_response())
}

/// The body of a request to judge.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct VerdictsBody {
    /// Each is parsed by itself.
    #[validate(length(min = 1, max = 1000))]
    verdicts: Vec<Box<RawValue>>,
}

/// A verdict as moderators write it.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerdictBody {
    #[validate(custom(function = "uuid"))]
    event_id: String,
    #[validate(custom(function = "verdict"))]
    verdict: String,
    #[validate(length(min = 1, max = 500), custom(function = "rulings::reason"))]
    reason: String,
}

fn uuid(text: &str) -> Result<(), ValidationError> {
    Uuid::try_parse(text).map(drop).map_err(|_| broken("format", "must be the eventId of a score"))
}

fn verdict(text: &str) -> Result<(), ValidationError> {
    named(text).map(drop).ok_or_else(|| broken("format", "must be approve or reject"))
}

fn named(text: &str) -> Option<Verdict> {
    match text {
        "approve" => Some(Verdict::Approve),
        "reject" => Some(Verdict::Reject),
        _ => None,
    }
}

fn parse(item: &RawValue) -> Result<Judgement, Problem> {
    let VerdictBody { event_id, verdict, reason } = body::parse(item.get().as_bytes())?;
    let unchecked = || ServiceError::Internal("a verdict was not checked".into());
    Ok(Judgement {
        event_id: Uuid::try_parse(&event_id).map_err(|_| unchecked())?,
        verdict: named(&verdict).ok_or_else(unchecked)?,
        reason,
    })
}

/// `POST /api/moderation/reviews`
pub async fn judge(
    State(services): App,
    Moderator(caller): Moderator,
    request_id: axum::Extension<RequestId>,
    headers: HeaderMap,
    Json(body): Json<VerdictsBody, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    let subject = caller.subject().ok_or(ServiceError::Unauthenticated)?.to_string();
    let key = header_key(&headers)?;
    let key = key.map(|key| RequestKey { subject, key, fingerprint: fingerprint("verdicts", &body.verdicts) });
    if let Some(key) = &key
        && let Some(answer) = services.moderation.answered(&caller, key).await?
    {
        return Ok(answered(answer, true));
    }
    let parsed: Vec<Result<Judgement, Problem>> = body.verdicts.iter().map(|item| parse(item)).collect();
    let judgements: Vec<Judgement> = parsed.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut judged = services.reviews.judge(&caller, &judgements).await?.into_iter();
    let (mut items, mut failed) = (Vec::with_capacity(parsed.len()), false);
    for item in parsed {
        let outcome = item.and_then(|_| {
            let missing = || Err(ServiceError::Internal("a verdict has no answer".into()));
            judged.next().unwrap_or_else(missing).map_err(Problem::from)
        });
        items.push(match outcome {
            Ok(outcome) => format!("{{\"status\":200,\"body\":{}}}", views::json(&OutcomeView::from(&outcome))),
            Err(problem) => {
                failed |= problem.status().is_server_error();
                item_of_problem(&problem, request_id.as_str())
            }
        });
    }
    let answer = format!("{{\"results\":[{}]}}", items.join(","));
    answer_under(&services, &caller, key.filter(|_| !failed).as_ref(), answer).await
}
