//! Forgets idempotency keys after their time, and what deleted leaderboards left, in small bites.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    domain::time::Clock,
    repositories::ledger::{KeysCursor, Ledger},
};

/// Keys are remembered for 24 hours at least.
const KEPT_SECONDS: i64 = 25 * 3600;
/// The receipts of keys that are still remembered are, too, however long the walk through the keys takes.
const RECEIPTS_KEPT_SECONDS: i64 = 2 * KEPT_SECONDS;
const INTERVAL: Duration = Duration::from_secs(60);
/// How long after a walk through all keys the next one begins.
const REST: Duration = Duration::from_secs(600);
/// How long a walk goes on before it rests for an [`INTERVAL`].
const TURN: Duration = Duration::from_secs(10);
const BITE: i64 = 1000;
/// A row may hold 32 receipts.
const RECEIPTS_BITE: i64 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Prunes for as long as it is polled.
pub async fn run(ledger: Ledger, clock: Clock) {
    let (began, begun_at) = (Instant::now(), clock.now());
    let mut keys = Some(KeysCursor::default());
    let mut rested = Instant::now();
    loop {
        // Age is what this process saw pass: a clock that is put ahead makes no key older.
        let elapsed = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let now = begun_at.plus_seconds(elapsed).min(clock.now());
        if rested.elapsed() >= REST {
            keys.get_or_insert_default();
        }
        let turn_ends = Instant::now() + TURN;
        while let Some(from) = keys.clone()
            && Instant::now() < turn_ends
        {
            let Ok((_, next)) = ledger.prune_idempotency_keys(now.plus_seconds(-KEPT_SECONDS), from).await else { break };
            keys = next;
            rested = Instant::now();
            tokio::time::sleep(PAUSE).await;
        }
        let until = now.plus_seconds(-RECEIPTS_KEPT_SECONDS);
        while ledger.prune_receipts(until, RECEIPTS_BITE).await.is_ok_and(|pruned| pruned > 0) {
            tokio::time::sleep(PAUSE).await;
        }
        while ledger.sweep_deleted(BITE).await.unwrap_or(false) {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
