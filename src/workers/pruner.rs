//! Forgets idempotency keys after their time, and what deleted leaderboards left, in small bites.

use std::time::Duration;

use crate::{domain::time::Clock, repositories::ledger::Ledger};

/// Keys are remembered for 24 hours at least.
const KEPT_SECONDS: i64 = 25 * 3600;
const INTERVAL: Duration = Duration::from_secs(60);
const BITE: i64 = 1000;
const PAUSE: Duration = Duration::from_millis(50);

/// Prunes for as long as it is polled.
pub async fn run(ledger: Ledger, clock: Clock) {
    loop {
        let until = clock.now().plus_seconds(-KEPT_SECONDS);
        while ledger.prune_idempotency_keys(until, BITE).await.is_ok_and(|pruned| pruned as i64 == BITE) {
            tokio::time::sleep(PAUSE).await;
        }
        while ledger.sweep_deleted(BITE).await.unwrap_or(false) {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
