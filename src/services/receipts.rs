//! The answer to a submission: built once, stored verbatim under the idempotency key.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{ActionId, LeaderboardId, UserId},
        submission::Accepted,
        time::Timestamp,
        version::Version,
    },
    repositories::ranking_store::Applied,
};

use super::error::ServiceError;

/// Where a submission left its user in one ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub version: Version,
    pub rank: u64,
    /// `None` for a newcomer, and if the change had been announced before.
    pub previous_rank: Option<u64>,
    pub total: u64,
}

impl Place {
    /// The rank after a change that was announced; `None` if it could not be announced (yet).
    pub fn of(applied: Applied) -> Option<Self> {
        match applied {
            // Removed from the ranking since.
            Applied::Known { rank: 0, .. } | Applied::Ranked { rank: 0, .. } => None,
            Applied::Ranked { version, rank, previous_rank, total } => Some(Self { version, rank, previous_rank, total }),
            Applied::Known { version, rank, total, .. } => Some(Self { version, rank, previous_rank: None, total }),
            Applied::Early { .. } | Applied::Conflict { .. } => None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptStanding<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    applied: bool,
    previous_score: Option<i64>,
    /// `None` if there is no entry, because all of it is in review.
    new_score: Option<i64>,
    delta: i64,
    rank: Option<u64>,
    previous_rank: Option<u64>,
    total: Option<u64>,
    version: Option<&'a Version>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptView<'a> {
    event_id: Uuid,
    action_id: &'a ActionId,
    user_id: &'a UserId,
    leaderboard_id: &'a LeaderboardId,
    applied: bool,
    delta: i64,
    new_score: Option<i64>,
    previous_score: Option<i64>,
    rank: Option<u64>,
    previous_rank: Option<u64>,
    version: Option<&'a Version>,
    standings: Vec<ReceiptStanding<'a>>,
    at: Timestamp,
    /// Set if a moderator has to see it before it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<&'static str>,
}

/// The JSON body of the receipt. `places` are parallel to the standings; `None` if the ranking was unreachable.
pub fn body(accepted: &Accepted, places: &[Option<Place>]) -> String {
    let withheld = accepted.is_withheld();
    let standings: Vec<_> = accepted
        .standings
        .iter()
        .enumerate()
        .map(|(index, standing)| {
            let place = places.get(index).and_then(Option::as_ref);
            ReceiptStanding {
                leaderboard_id: &standing.leaderboard_id,
                season: standing.board.season,
                applied: standing.applied,
                previous_score: standing.previous_score,
                // The entry stays as it was, and what it would be is for moderators.
                new_score: if withheld { standing.previous_score } else { Some(standing.new_score) },
                delta: if withheld { 0 } else { standing.delta },
                rank: place.map(|place| place.rank),
                previous_rank: place.and_then(|place| place.previous_rank),
                total: place.map(|place| place.total),
                version: place.map(|place| &place.version),
            }
        })
        .collect();
    let first = &standings[0];
    let receipt = ReceiptView {
        event_id: accepted.event_id,
        action_id: &accepted.action_id,
        user_id: &accepted.user_id,
        leaderboard_id: first.leaderboard_id,
        applied: first.applied,
        delta: first.delta,
        new_score: first.new_score,
        previous_score: first.previous_score,
        rank: first.rank,
        previous_rank: first.previous_rank,
        version: first.version,
        at: accepted.at,
        standings,
        review: withheld.then_some("pending"),
    };
    serde_json::to_string(&receipt).expect("a receipt always serialises")
}

/// An answer that was stored under an idempotency key; `Erased` if it is empty, because it told of somebody who was erased since.
pub fn unless_erased(body: String) -> Result<String, ServiceError> {
    if body.is_empty() { Err(ServiceError::Erased) } else { Ok(body) }
}
