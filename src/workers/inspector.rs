//! Inspects the rankings in the background: whether they exist, and whether they are this ledger's.

use std::{sync::Arc, time::Duration};

use crate::services::inspection::Inspection;

/// How often all rankings are inspected: a lost one that nobody reads is back within three times this.
const ROUND: Duration = Duration::from_secs(10);
/// How often superseded rankings are inspected, and how often it is checked whether a round is due at once.
const INTERVAL: Duration = Duration::from_secs(1);

/// Inspects for as long as it is polled.
pub async fn run(inspection: Arc<Inspection>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = inspection.doubted() => {}
        }
        inspection.look_at_superseded().await;
        if last.elapsed() < ROUND && !inspection.is_urgent().await {
            continue;
        }
        if let Err(error) = inspection.round().await {
            tracing::debug!(%error, "the rankings could not be inspected");
        }
        last = tokio::time::Instant::now();
    }
}
