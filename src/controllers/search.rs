//! `GET /api/leaderboards/{id}/search`: entries by the beginning of a name.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    domain::{caller::Caller, entry::RankedEntry, ids::LeaderboardId, search::Prefix, version::Version},
    http::problem::Problem,
    services::{error::ServiceError, ranking_reader::Served, views},
};

use super::{
    App,
    cached::cache_status,
    params::{Params, Segments},
    seasons,
};

/// Entries that may be requested.
const LIMIT: std::ops::RangeInclusive<u64> = 1..=50;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    entries: &'a [RankedEntry],
}

/// `GET /api/leaderboards/{id}/search`
pub async fn search(
    State(services): App,
    caller: Caller,
    Segments(id): Segments<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    let limit = params.number("limit", LIMIT, 10);
    let parse = |text: &str| Prefix::parse(text).ok_or_else(|| "must be 1 to 128 characters long".to_owned());
    let prefix = params.parsed("name", parse);
    let season = seasons::choice(&mut params);
    params.finish()?;
    let prefix = prefix.ok_or_else(|| ServiceError::invalid("name", "required", "is required"))?;
    let chosen = seasons::chosen(&services, leaderboard.clone(), season).await?;
    let Served { value: (head, entries), source } = services.search.find(&leaderboard, &chosen, &prefix, limit).await?;
    let view =
        FoundView { leaderboard_id: &leaderboard.id, season: head.season, version: head.version.as_ref(), entries: &entries };
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([content_type, cache_status(source)], views::json(&view)).into_response())
}
