//! Reads of a ranking: the window, one user's entry, friends.

use std::ops::RangeInclusive;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{
    domain::{
        caller::Caller,
        entry::{Head, Neighbourhood, RankedEntry},
        ids::{LeaderboardId, Noun, UserId},
        leaderboard::{Leaderboard, Projection},
        version::Version,
    },
    http::{caller::Manager, problem::Problem},
    services::{
        Services,
        encoded::Encoded,
        error::{FieldError, ServiceError},
        hidden,
        ranking_reader::{Served, Source},
        seasons::Chosen,
        views::{self, StandingView, WindowView},
    },
};

use super::{
    App,
    body::Json,
    cached::{answer, cache_status},
    params::{Params, Segments},
    restricted, seasons,
};

/// The most users in one friends query.
const FRIENDS: u64 = 500;
/// Neighbours on each side that may be requested.
pub const AROUND: RangeInclusive<u64> = 0..=50;
/// Ranks are exact integers in JavaScript, too.
const LAST_RANK: u64 = (1 << 53) - 1;

/// `GET /api/leaderboards/{id}/entries`
pub async fn window(
    State(services): App,
    caller: Caller,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    answer_window(&services, &caller, leaderboard, &headers, params).await
}

/// `GET /api/leaderboard`
pub async fn default_window(
    State(services): App,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &services.default_leaderboard).await?;
    answer_window(&services, &caller, leaderboard, &headers, params).await
}

async fn answer_window(
    services: &Services,
    caller: &Caller,
    leaderboard: Leaderboard,
    headers: &HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let limit = params.number("limit", 1..=1000, 10);
    let from_rank = params.number("fromRank", 1..=LAST_RANK, 1);
    let min_version = params.parsed("minVersion", |text| text.parse::<Version>().map_err(|error| error.to_string()));
    let season = seasons::choice(&mut params);
    let projection = params.projection();
    if projection == Projection::Own {
        params.refuse("projection", "format", "must be public or restricted: own is of one user");
    }
    params.finish()?;
    hidden::authorize(caller, projection, None, Some(leaderboard.id.as_str()))?;
    let chosen = seasons::chosen(services, leaderboard.clone(), season).await?;
    if projection == Projection::Restricted {
        return restricted::window(services, leaderboard, &chosen, (from_rank, limit), headers).await;
    }
    let leaderboard = match chosen {
        Chosen::Current(leaderboard) => *leaderboard,
        Chosen::Ended(number) => {
            let Served { value, source } = services.seasons.window(&leaderboard, number, from_rank, limit).await?;
            let json = views::json(&WindowView::new(&leaderboard.id, &value, value.entries.len(), false));
            return Ok(answer(&leaderboard, source, &Encoded::new(json), headers));
        }
    };
    let Served { value, source } = services.tops.window(&leaderboard, from_rank, limit, min_version.as_ref()).await?;
    Ok(answer(&leaderboard, source, &value, headers))
}

/// `GET /api/leaderboards/{id}/entries/{userId}`
pub async fn entry(
    State(services): App,
    caller: Caller,
    Segments((id, user_id)): Segments<(String, String)>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    let around = params.number("around", AROUND, 0);
    let season = seasons::choice(&mut params);
    let projection = params.projection();
    params.finish()?;
    let chosen = seasons::chosen(&services, leaderboard.clone(), season).await?;
    if projection != Projection::Public {
        let user_id = UserId::parse(&user_id).map_err(|_| ServiceError::NotFound(Noun::Entry))?;
        hidden::authorize(&caller, projection, Some(&user_id), Some(leaderboard.id.as_str()))?;
        if projection == Projection::Own {
            return restricted::own(&services, &leaderboard, chosen, &user_id, around, &headers).await;
        }
        if let Some(answer) = restricted::entry(&services, &leaderboard, &chosen, &user_id, &headers).await? {
            return Ok(answer);
        }
    }
    match chosen {
        Chosen::Current(leaderboard) => answer_entry(&services, &leaderboard, &user_id, around, &headers).await,
        Chosen::Ended(number) => {
            let user_id = UserId::parse(&user_id).map_err(|_| ServiceError::NotFound(Noun::Entry))?;
            let served = services.seasons.neighbourhoods(&leaderboard, number, &[user_id], around).await?;
            let Served { value: (head, mut found), source } = served;
            let found = found.pop().ok_or_else(|| ServiceError::Internal("a user was left out of the answer".into()))?;
            standing(&leaderboard, source, &head, &found, &headers)
        }
    }
}

/// `DELETE /api/leaderboards/{id}/entries/{userId}`
pub async fn remove(
    State(services): App,
    Manager(caller): Manager,
    Segments((id, user_id)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = LeaderboardId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::Leaderboard))?;
    let user_id = UserId::parse(&user_id).map_err(|_| ServiceError::NotFound(Noun::Entry))?;
    services.moderation.remove_entry(&caller, &id, &user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/leaderboards/{id}/entries/query`: the entry of a user called `query`.
pub async fn remove_named_query(services: App, manager: Manager, Segments(id): Segments<String>) -> Result<StatusCode, Problem> {
    remove(services, manager, Segments((id, "query".to_owned()))).await
}

/// One user's entry with up to `around` entries on each side.
pub async fn answer_entry(
    services: &Services,
    leaderboard: &Leaderboard,
    user_id: &str,
    around: u64,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let user_id = UserId::parse(user_id).map_err(|_| ServiceError::NotFound(Noun::Entry))?;
    let Served { value: (head, found), source } = services.rankings.neighbourhood(leaderboard.board(), &user_id, around).await?;
    standing(leaderboard, source, &head, &found, headers)
}

fn standing(
    leaderboard: &Leaderboard,
    source: Source,
    head: &Head,
    found: &Neighbourhood,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if found.entry.is_none() {
        return Err(ServiceError::NotFound(Noun::Entry).into());
    }
    let json = views::json(&StandingView::new(&leaderboard.id, head, found));
    Ok(answer(leaderboard, source, &Encoded::new(json), headers))
}

/// `GET /api/leaderboards/{id}/entries/query`: a user may well be called `query`; only `POST` there is the friends query.
pub async fn entry_named_query(
    services: App,
    caller: Caller,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    entry(services, caller, Segments((id, "query".to_owned())), headers, params).await
}

/// The body of a friends query.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FriendsBody {
    #[validate(length(min = 1, max = "FRIENDS", message = "must hold between 1 and 500 user ids"))]
    user_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FriendsView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    entries: Vec<FriendView<'a>>,
}

#[derive(Serialize)]
struct FriendView<'a> {
    #[serde(flatten)]
    entry: &'a RankedEntry,
    position: usize,
}

/// `POST /api/leaderboards/{id}/entries/query`
pub async fn friends(
    State(services): App,
    caller: Caller,
    Segments(id): Segments<String>,
    mut params: Params,
    Json(body): Json<FriendsBody>,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    let season = seasons::choice(&mut params);
    params.finish()?;
    let users = distinct_users(&body.user_ids)?;
    let chosen = seasons::chosen(&services, leaderboard.clone(), season).await?;
    let Served { value: (head, found), source } = services.seasons.neighbourhoods_in(&leaderboard, &chosen, &users, 0).await?;
    let mut entries: Vec<&RankedEntry> = found.iter().filter_map(|found| found.entry.as_ref()).collect();
    entries.sort_by_key(|entry| entry.rank);
    let view = FriendsView {
        leaderboard_id: &leaderboard.id,
        season: head.season,
        version: head.version.as_ref(),
        entries: entries.into_iter().zip(1..).map(|(entry, position)| FriendView { entry, position }).collect(),
    };
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([content_type, cache_status(source)], views::json(&view)).into_response())
}

/// The requested users, each once; an invalid id is refused by its index.
fn distinct_users(ids: &[String]) -> Result<Vec<UserId>, ServiceError> {
    let mut users = Vec::with_capacity(ids.len());
    let mut errors = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (index, id) in ids.iter().enumerate() {
        match UserId::parse(id) {
            Ok(user) => users.extend(Some(user).filter(|_| seen.insert(id))),
            Err(error) => errors.push(FieldError::new(format!("userIds[{index}]"), "format", error.0)),
        }
    }
    if errors.is_empty() { Ok(users) } else { Err(ServiceError::Invalid(errors)) }
}
