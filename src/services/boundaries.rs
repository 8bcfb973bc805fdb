//! Scheduled ends of seasons: carried out by whoever meets them first, a worker or a submission.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    domain::time::{Clock, Timestamp},
    repositories::ledger::Ledger,
};

use super::{announcer::Announcer, definitions::DefinitionCache, error::ServiceError};

/// Leaderboards in one transaction, during which no score can be committed: some ten milliseconds. In between there is time
/// for commits.
const AT_ONCE: i64 = 32;
const PAUSE: Duration = Duration::from_millis(10);

/// See the module's documentation.
pub struct Boundaries {
    ledger: Ledger,
    definitions: Arc<DefinitionCache>,
    announcer: Arc<Announcer>,
    clock: Clock,
    /// Wakes the worker: another boundary may be the next one.
    changed: Notify,
}

impl Boundaries {
    pub fn new(ledger: Ledger, definitions: Arc<DefinitionCache>, announcer: Arc<Announcer>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { ledger, definitions, announcer, clock, changed: Notify::new() })
    }

    /// Carries out all boundaries that have come, of these leaderboards or of all; returns for how many leaderboards. They are
    /// announced when the rankings have everything from before.
    pub async fn carry_out(&self, only: Option<Vec<i64>>) -> Result<usize, ServiceError> {
        let mut turned = 0;
        loop {
            let rows = self.ledger.turn_due(self.clock.now(), only.clone(), AT_ONCE).await?;
            if rows.is_empty() {
                break;
            }
            crate::failpoints::failpoint!("boundary-committed", ServiceError::Internal);
            turned += rows.len();
            metrics::counter!("scoreboard_season_boundaries_total").increment(rows.len() as u64);
            let announcer = Arc::clone(&self.announcer);
            // A submission that met the boundary does not wait for its announcement.
            tokio::spawn(async move { announcer.announce_turns(rows).await });
            tokio::time::sleep(PAUSE).await;
        }
        if turned > 0 {
            self.definitions.refresh().await?;
            self.definitions.announce().await;
        }
        Ok(turned)
    }

    /// The next scheduled boundary, as far as this instance knows.
    pub fn next(&self) -> Option<Timestamp> {
        self.definitions.current().leaderboards().filter_map(|leaderboard| leaderboard.next_boundary_at).min()
    }

    /// How long it is until then by this instance's clock, in microseconds; negative if it has come.
    pub fn until(&self, boundary: Timestamp) -> i64 {
        boundary.micros_since(self.clock.now())
    }

    /// Whether it is another clock than this instance's that decides.
    pub fn follows_the_ledger(&self) -> bool {
        self.ledger.is_shared()
    }

    /// Schedules may have changed.
    pub fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change of schedules made here.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
