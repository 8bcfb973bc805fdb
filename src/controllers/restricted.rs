//! Reads of a ranking with what is not for all: the entries of hidden users. They have no rank, and are never stored on the way.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        entry::{Appearance, HiddenEntry, RankedEntry},
        ids::{ActionId, LeaderboardId, Noun, UserId},
        leaderboard::Leaderboard,
        review::PendingScore,
        time::Timestamp,
        version::Version,
    },
    http::problem::Problem,
    services::{
        Services,
        encoded::Encoded,
        error::ServiceError,
        ranking_reader::Source,
        seasons::Chosen,
        views::{self, StandingView},
    },
};

use super::cached;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HiddenView<'a> {
    rank: Option<u64>,
    user_id: &'a UserId,
    display_name: &'a str,
    #[serde(flatten)]
    appearance: Option<&'a Appearance>,
    score: i64,
    at: Timestamp,
    hidden: bool,
}

impl<'a> From<&'a HiddenEntry> for HiddenView<'a> {
    fn from(entry: &'a HiddenEntry) -> Self {
        let HiddenEntry { user_id, shown, score, at } = entry;
        let display_name = shown.as_ref().and_then(|shown| shown.name.as_deref()).unwrap_or(user_id.as_str());
        let appearance = shown.as_ref().and_then(|shown| shown.appearance.as_deref());
        Self { rank: None, user_id, display_name, appearance, score: *score, at: *at, hidden: true }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    total: u64,
    entries: &'a [RankedEntry],
    hidden: Vec<HiddenView<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HiddenStandingView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    total: Option<u64>,
    entry: HiddenView<'a>,
    percentile: Option<f64>,
    around: [(); 0],
}

impl<'a> HiddenStandingView<'a> {
    fn new(leaderboard_id: &'a LeaderboardId, season: i64, entry: &'a HiddenEntry) -> Self {
        Self { leaderboard_id, season, version: None, total: None, entry: entry.into(), percentile: None, around: [] }
    }
}

/// The window that everybody sees, and beside it the entries of hidden users, best first.
pub async fn window(
    services: &Services,
    leaderboard: Leaderboard,
    chosen: &Chosen,
    (from_rank, limit): (u64, u64),
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let window = match chosen {
        Chosen::Current(leaderboard) => services.rankings.window(leaderboard.board(), from_rank, limit, None).await?.value,
        Chosen::Ended(number) => services.seasons.window(&leaderboard, *number, from_rank, limit).await?.value,
    };
    let board = services.hidden.board(&leaderboard, chosen).await?;
    let hidden = services.hidden.entries(board, None).await?;
    let view = WindowView {
        leaderboard_id: &leaderboard.id,
        season: window.head.season,
        version: window.head.version.as_ref(),
        total: window.head.total,
        entries: &window.entries,
        hidden: hidden.iter().map(HiddenView::from).collect(),
    };
    Ok(private(&leaderboard, views::json(&view), headers))
}

/// A standing with what only its user sees of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnView<'a, S: Serialize> {
    #[serde(flatten)]
    standing: S,
    pending: Vec<PendingView<'a>>,
}

/// A score that waits for a moderator.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PendingView<'a> {
    event_id: Uuid,
    action_id: &'a ActionId,
    value: Option<i64>,
    points: i64,
    at: Timestamp,
}

impl<'a> From<&'a PendingScore> for PendingView<'a> {
    fn from(score: &'a PendingScore) -> Self {
        let PendingScore { event_id, action_id, value, points, at } = score;
        Self { event_id: *event_id, action_id, value: *value, points: *points, at: *at }
    }
}

/// The entry of whoever asks, hidden or not, with their scores that wait for a moderator, newest first. Not found if there is
/// neither.
pub async fn own(
    services: &Services,
    leaderboard: &Leaderboard,
    chosen: Chosen,
    user: &UserId,
    around: u64,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let board = services.hidden.board(leaderboard, &chosen).await?;
    let pending = services.reviews.pending(board, user).await?;
    let pending = pending.iter().map(PendingView::from).collect();
    let hidden = services.hidden.entries(board, Some(user)).await?;
    if let Some(entry) = hidden.first() {
        let standing = HiddenStandingView::new(&leaderboard.id, board.season, entry);
        return Ok(private(leaderboard, views::json(&OwnView { standing, pending }), headers));
    }
    let (head, found) = match chosen {
        Chosen::Current(current) => services.rankings.neighbourhood(current.board(), user, around).await?.value,
        Chosen::Ended(number) => {
            let users = std::slice::from_ref(user);
            let (head, mut found) = services.seasons.neighbourhoods(leaderboard, number, users, around).await?.value;
            let found = found.pop().ok_or_else(|| ServiceError::Internal("a user was left out of the answer".into()))?;
            (head, found)
        }
    };
    if found.entry.is_none() && Vec::is_empty(&pending) {
        return Err(ServiceError::NotFound(Noun::Entry).into());
    }
    let standing = StandingView::new(&leaderboard.id, &head, &found);
    Ok(private(leaderboard, views::json(&OwnView { standing, pending }), headers))
}

/// A user's entry, if it is hidden.
pub async fn entry(
    services: &Services,
    leaderboard: &Leaderboard,
    chosen: &Chosen,
    user: &UserId,
    headers: &HeaderMap,
) -> Result<Option<Response>, Problem> {
    let board = services.hidden.board(leaderboard, chosen).await?;
    let hidden = services.hidden.entries(board, Some(user)).await?;
    let Some(entry) = hidden.first() else { return Ok(None) };
    let view = HiddenStandingView::new(&leaderboard.id, board.season, entry);
    Ok(Some(private(leaderboard, views::json(&view), headers)))
}

fn private(leaderboard: &Leaderboard, json: String, headers: &HeaderMap) -> Response {
    let mut response = cached::answer(leaderboard, Source::Ledger, &Encoded::new(json), headers);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
