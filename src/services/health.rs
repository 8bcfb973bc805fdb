//! Whether this instance should be sent requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::repositories::{ledger::Ledger, standings::Standings};

/// What is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub ledger: bool,
    pub ranking: bool,
    pub draining: bool,
}

impl Report {
    /// Whether requests should come here: without the ranking they are served all the same, from the ledger.
    pub fn ready(self) -> bool {
        self.ledger && !self.draining
    }

    /// `ready`, `degraded` (the ranking is away), `unavailable` (the ledger is away) or `draining` (shutting down).
    pub fn status(self) -> &'static str {
        match self {
            Self { draining: true, .. } => "draining",
            Self { ledger: false, .. } => "unavailable",
            Self { ranking: false, .. } => "degraded",
            _ => "ready",
        }
    }
}

/// See the module's documentation.
pub struct Health {
    pub ledger: Ledger,
    pub standings: Arc<dyn Standings>,
    pub draining: Arc<AtomicBool>,
}

impl Health {
    /// Asks both stores, within their short time-outs.
    pub async fn check(&self) -> Report {
        let (ledger, ranking) = tokio::join!(self.ledger.ping(), self.standings.ping());
        Report { ledger: ledger.is_ok(), ranking: ranking.is_ok(), draining: self.draining.load(Ordering::Acquire) }
    }
}
