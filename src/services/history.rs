//! The history of scores, as far as a reader may see it.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    domain::{
        caller::{Caller, Permission},
        ids::{LeaderboardId, UserId},
        leaderboard::{Projection, Readable},
        season::Season,
        settlement::first_event_id,
        submission::ScoreEvent,
    },
    repositories::ledger::Ledger,
};

use super::{error::ServiceError, hidden, turns::Turns};

/// See the module's documentation.
pub struct History {
    pub ledger: Ledger,
    pub turns: Arc<Turns>,
}

/// Which part of a user's history a reader asks for.
pub struct Asked<'a> {
    pub leaderboard: Option<&'a LeaderboardId>,
    /// One of the leaderboard's.
    pub season: Option<&'a Season>,
    /// Older events than this one.
    pub before: Option<Uuid>,
    /// Events at most.
    pub limit: usize,
    pub projection: Projection,
}

/// One page of a user's history.
pub struct Page {
    /// Newest first.
    pub events: Vec<ScoreEvent>,
    /// The last of these events, if there are more that this reader may see.
    pub next: Option<Uuid>,
}

impl History {
    /// A user's score events, newest first. Events that this reader may not see leave no trace: neither a gap in the page nor a
    /// sign at its end.
    pub async fn page(&self, caller: &Caller, user: &UserId, asked: Asked<'_>) -> Result<Page, ServiceError> {
        let Asked { leaderboard, season, before, limit, projection } = asked;
        hidden::authorize(caller, projection, Some(user), leaderboard.map(LeaderboardId::as_str))?;
        // Ids are in the order of times, and each score lies in its season.
        let end = season.and_then(|season| season.ends_at).map(first_event_id);
        let before = match (before, end) {
            (Some(before), Some(end)) => Some(before.min(end)),
            (before, end) => before.or(end),
        };
        let readable = match caller.bound_to() {
            _ if !caller.may(Permission::ReadPrivate) => Readable::Public,
            Some(bound) => Readable::Among(bound.to_vec()),
            None => Readable::All,
        };
        let _turn = self.turns.next().await?;
        let mut events = self.ledger.history(user, leaderboard, before, limit as i64 + 1, readable, projection).await?;
        if let Some(season) = season {
            let of_season = |event: &ScoreEvent| event.standings.first().is_some_and(|standing| standing.season == season.number);
            let first = events.iter().position(of_season).unwrap_or(events.len());
            events.drain(..first);
            events.truncate(events.iter().position(|event| !of_season(event)).unwrap_or(events.len()));
        }
        let more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map(|event| event.event_id);
        Ok(Page { events, next })
    }
}
