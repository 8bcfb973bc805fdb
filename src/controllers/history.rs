//! The scores of a user and the latest ones of a leaderboard: `GET /api/users/{userId}/scores`, `GET /api/leaderboards/{id}/scores`.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    domain::{
        caller::Caller,
        ids::{ActionId, LeaderboardId, Noun, UserId},
        season::SeasonChoice,
        submission::{PastOutcome, ScoreEvent},
        time::Timestamp,
    },
    http::problem::Problem,
    services::{error::ServiceError, hidden, history::Asked, latest::MOST, ranking_reader::Served, seasons::Chosen},
};

use super::{
    App,
    cached::answer,
    params::{Params, Segments, next_cursor},
    seasons,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PastOutcomeView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    applied: bool,
    delta: i64,
    previous_score: Option<i64>,
    new_score: i64,
}

impl<'a> From<&'a PastOutcome> for PastOutcomeView<'a> {
    fn from(standing: &'a PastOutcome) -> Self {
        let PastOutcome { leaderboard_id, season, applied, delta, previous_score, new_score, removed: _ } = standing;
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

/// A score event as those see it who may see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScoreEventView<'a> {
    event_id: Uuid,
    /// `None`: an adjustment.
    action_id: Option<&'a ActionId>,
    user_id: &'a UserId,
    #[serde(flatten)]
    leading: PastOutcomeView<'a>,
    value: Option<i64>,
    metadata: Option<&'a Map<String, Value>>,
    at: Timestamp,
    counts: bool,
    withheld: Option<&'a str>,
    standings: Vec<PastOutcomeView<'a>>,
}

impl<'a> ScoreEventView<'a> {
    /// `None` if it has no part that the reader may see.
    pub fn new(event: &'a ScoreEvent) -> Option<Self> {
        Some(Self {
            event_id: event.event_id,
            action_id: event.action_id.as_ref(),
            user_id: &event.user_id,
            leading: event.standings.first()?.into(),
            value: event.value,
            metadata: event.metadata.as_ref(),
            at: event.at,
            counts: event.withheld.is_none(),
            withheld: event.withheld.as_deref(),
            standings: event.standings.iter().map(PastOutcomeView::from).collect(),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryView<'a> {
    scores: Vec<ScoreEventView<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/users/{userId}/scores`: the scores in private leaderboards need `leaderboards:read`.
pub async fn page(
    State(services): App,
    caller: Caller,
    Segments(user_id): Segments<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let user_id = UserId::parse(&user_id).map_err(|_| ServiceError::NotFound(Noun::User))?;
    let limit = params.number("limit", 1..=100, 20);
    let before = params.cursor().map(Uuid::from_bytes);
    let leaderboard = params.parsed("leaderboardId", |id| LeaderboardId::parse(id).map_err(|error| error.0.to_owned()));
    let season = params.parsed("season", seasons::parse_choice);
    if season.is_some() && params.text("leaderboardId").is_none() {
        params.refuse("season", "required", "is a season of a leaderboard: leaderboardId has to name it");
    }
    let projection = params.projection();
    params.finish()?;
    hidden::authorize(&caller, projection, Some(&user_id), leaderboard.as_ref().map(LeaderboardId::as_str))?;
    let leaderboard = match leaderboard {
        Some(id) => Some(services.leaderboards.readable(&caller, id.as_str()).await?),
        None => None,
    };
    let season = match (&leaderboard, season) {
        (Some(leaderboard), Some(choice)) => Some(services.seasons.get(leaderboard, choice).await?.season),
        _ => None,
    };
    let leaderboard = leaderboard.map(|leaderboard| leaderboard.id);
    let asked = Asked { leaderboard: leaderboard.as_ref(), season: season.as_ref(), before, limit, projection };
    let page = services.history.page(&caller, &user_id, asked).await?;
    let next_cursor = page.next.map(|event_id| next_cursor(event_id.as_bytes()));
    let scores = page.events.iter().filter_map(ScoreEventView::new).collect();
    Ok(axum::Json(HistoryView { scores, next_cursor }).into_response())
}

/// `GET /api/leaderboards/{id}/scores`
pub async fn latest(
    State(services): App,
    caller: Caller,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    let limit = params.number("limit", 1..=MOST, 20);
    let season = seasons::choice(&mut params);
    params.finish()?;
    let leaderboard = match seasons::chosen(&services, leaderboard.clone(), season).await? {
        Chosen::Current(leaderboard) => *leaderboard,
        Chosen::Ended(number) => {
            let season = services.seasons.get(&leaderboard, SeasonChoice::Number(number)).await?.season;
            let Served { value, source } = services.latest.of_ended(&leaderboard, &season, limit).await?;
            return Ok(answer(&leaderboard, source, &value, &headers));
        }
    };
    let Served { value, source } = services.latest.of(&leaderboard, limit).await?;
    Ok(answer(&leaderboard, source, &value, &headers))
}
