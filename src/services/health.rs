//! Whether this instance should be sent requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    domain::time::Clock,
    repositories::{
        ledger::Ledger,
        ranking_store::{RankingError, RankingStore},
    },
    supervisor::Broken,
};

use super::backlog::Backlog;

/// The state of the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankingState {
    Up,
    /// It answers but refuses writes, or lacks something that is committed: reads of what it lacks come from the ledger.
    Behind,
    Down,
}

impl RankingState {
    /// The state as one word, for the health report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Behind => "behind",
            Self::Down => "down",
        }
    }
}

/// What is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub ledger: bool,
    pub ranking: RankingState,
    /// Whether all long-lived tasks run.
    pub tasks: bool,
    pub draining: bool,
}

impl Report {
    /// Whether requests should be sent here: without the ranking they are still served, from the ledger.
    pub fn ready(self) -> bool {
        self.ledger && self.tasks && !self.draining
    }

    /// `ready`, `degraded` (the ranking is unavailable or behind), `unavailable` (the ledger is unavailable, or a part of the
    /// server has failed) or `draining` (shutting down).
    pub fn status(self) -> &'static str {
        match self {
            Self { draining: true, .. } => "draining",
            Self { ledger: false, .. } | Self { tasks: false, .. } => "unavailable",
            Self { ranking: RankingState::Up, .. } => "ready",
            _ => "degraded",
        }
    }
}

/// See the module's documentation.
pub struct Health {
    pub ledger: Ledger,
    pub clock: Clock,
    pub ranking_store: Arc<dyn RankingStore>,
    pub backlog: Arc<Backlog>,
    pub broken: Broken,
    pub draining: Arc<AtomicBool>,
}

impl Health {
    /// Queries both stores, within their short time-outs.
    pub async fn check(&self) -> Report {
        let (ledger, ranking) = tokio::join!(self.ledger.ping(&self.clock), self.ranking_store.ping());
        let ranking = match ranking {
            Ok(()) if self.backlog.is_empty() => RankingState::Up,
            Ok(()) | Err(RankingError::Refused(_)) => RankingState::Behind,
            Err(_) => RankingState::Down,
        };
        let (tasks, draining) = (self.broken.count() == 0, self.draining.load(Ordering::Acquire));
        Report { ledger: ledger.is_ok(), ranking, tasks, draining }
    }
}
