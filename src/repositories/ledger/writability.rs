//! Whether scores can be committed at this moment: what health checks ask, at no cost to commits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{Engine, Ledger, LedgerError, PING_LIMIT, transact, within};
use crate::domain::time::Clock;

/// How long a positive result is cached, so that frequent health checks query the database no more often than this.
const HOLDS: Duration = Duration::from_millis(250);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Writability {
    /// When the ledger was last found writable. One check at a time; concurrent callers wait for it and use its result.
    found: Mutex<Option<Instant>>,
    /// The last batch was not committed: then a lock is not enough to trust that the next one will be. A disk may be full.
    doubted: AtomicBool,
}

impl Writability {
    /// Records how the commit of a batch ended.
    pub fn note<T>(&self, result: &Result<T, LedgerError>) {
        match result {
            Ok(_) if self.doubted.load(Ordering::Relaxed) => self.doubted.store(false, Ordering::Relaxed),
            Ok(_) | Err(LedgerError::BoundaryDue(_)) => {}
            Err(_) => self.doubted.store(true, Ordering::Relaxed),
        }
    }
}

impl Ledger {
    /// Whether the ledger answers, is migrated, and accepts commits. The clock is for a trial write, which is rolled back.
    pub async fn ping(&self, clock: &Clock) -> Result<(), LedgerError> {
        let mut found = self.writability.found.lock().await;
        let doubted = self.writability.doubted.load(Ordering::Relaxed);
        if !doubted && found.is_some_and(|at| at.elapsed() < HOLDS) {
            return Ok(());
        }
        *found = None;
        transact!(self.read(PING_LIMIT), definitions::revision())?;
        match &self.engine {
            Engine::Postgres(postgres) => postgres.within(PING_LIMIT, postgres.probe()).await?,
            // Waits in line for the only writer and its lock, and writes nothing.
            Engine::Sqlite(sqlite) => within(PING_LIMIT, sqlite.write(|_| Ok(()))).await?,
        }
        if doubted {
            let proof = tokio::time::timeout(PING_LIMIT, self.prove_writable(clock)).await;
            proof.unwrap_or_else(|_| Err(LedgerError::Unavailable("a trial write was not answered in time".into())))?;
            self.writability.doubted.store(false, Ordering::Relaxed);
        }
        *found = Some(Instant::now());
        Ok(())
    }
}
