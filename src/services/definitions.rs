//! The definitions as this instance knows them: one immutable snapshot, replaced as a whole.
//!
//! Commits do not depend on it (the ledger checks the revision inside the transaction); reads, streams and authorisation do. It is renewed
//! after every change made here, every half second where other instances may change definitions, and at once when an id is
//! not found.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::{
    domain::{definition::Definitions, ids::LeaderboardId, leaderboard::Leaderboard},
    repositories::ledger::Ledger,
};

use super::error::ServiceError;

/// How stale another instance's view of a definition may be while its id is known.
const POLL: Duration = Duration::from_millis(500);

/// See the module's documentation.
pub struct DefinitionCache {
    ledger: Ledger,
    current: ArcSwap<Definitions>,
    /// One refresh at a time; the others wait for it and then see its result.
    refreshing: Mutex<Option<Instant>>,
}

impl DefinitionCache {
    /// Reads the definitions for the first time.
    pub async fn load(ledger: Ledger) -> Result<Arc<Self>, ServiceError> {
        let definitions = ledger.definitions().await?;
        Ok(Arc::new(Self { ledger, current: ArcSwap::from_pointee(definitions), refreshing: Mutex::new(None) }))
    }

    /// The newest snapshot that this instance has.
    pub fn current(&self) -> Arc<Definitions> {
        self.current.load_full()
    }

    /// Brings the snapshot up to the ledger's revision.
    pub async fn refresh(&self) -> Result<(), ServiceError> {
        let asked = Instant::now();
        let mut last = self.refreshing.lock().await;
        // Somebody else's question that began after ours was asked has our answer too.
        if last.is_some_and(|begun| begun > asked) {
            return Ok(());
        }
        let begun = Instant::now();
        if self.ledger.definitions_revision().await? != self.current.load().revision {
            self.current.store(Arc::new(self.ledger.definitions().await?));
        }
        *last = Some(begun);
        Ok(())
    }

    /// A leaderboard; where the id is unknown here, the ledger is asked before that is believed.
    pub async fn leaderboard(&self, id: &str) -> Result<Leaderboard, ServiceError> {
        self.find(|definitions| definitions.leaderboards.get(id).cloned(), LeaderboardId::parse(id).is_ok(), "leaderboard").await
    }

    /// What `pick` finds in the snapshot, or in a fresh one where `plausible`.
    pub async fn find<T>(
        &self,
        pick: impl Fn(&Definitions) -> Option<T>,
        plausible: bool,
        what: &'static str,
    ) -> Result<T, ServiceError> {
        if let Some(found) = pick(&self.current.load()) {
            return Ok(found);
        }
        if plausible {
            // With the ledger away, what is known is all there is: not found then means "not known here".
            self.refresh().await.ok();
        }
        pick(&self.current.load()).ok_or(ServiceError::NotFound(what))
    }

    /// Keeps the snapshot fresh for as long as it is polled; only for a ledger that other instances share.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.refresh().await {
                tracing::debug!(%error, "the definitions could not be refreshed");
            }
        }
    }
}
