//! Tells what a dead instance, or a dead ranking, left untold: outbox rows older than a few seconds, and all there are where something was
//! found to be missing.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::time::{Clock, Timestamp},
    repositories::ledger::Ledger,
    services::announcer::Announcer,
};

/// Younger rows are still being told by whoever committed them.
const AGE_SECONDS: i64 = 4;
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows taken at once: few enough to be told before other instances may take them over.
const ROWS: i64 = 32;

/// Sweeps for as long as it is polled.
pub async fn run(ledger: Ledger, announcer: Arc<Announcer>, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // Fixed for the whole sweep: new rows never keep it from ending.
        let made_before = tokio::select! {
            _ = ticks.tick() => clock.now().plus_seconds(-AGE_SECONDS),
            () = announcer.overdue() => clock.now(),
        };
        while sweep(&ledger, &announcer, made_before).await == Some(ROWS as usize) {}
    }
}

/// Tells the oldest rows. Answers how many there were; `None` where something could not be told, so that there is no hurry to go on.
async fn sweep(ledger: &Ledger, announcer: &Announcer, made_before: Timestamp) -> Option<usize> {
    let rows = ledger.outbox_due(made_before, ROWS).await;
    let rows = rows.inspect_err(|error| tracing::debug!(%error, "the outbox could not be read")).ok()?;
    let count = rows.len();
    let mut done = Vec::with_capacity(count);
    for (id, announcement) in rows {
        if announcer.tell(&announcement).await {
            done.push(id);
        }
    }
    if !done.is_empty() {
        metrics::counter!("scoreboard_outbox_swept_total").increment(done.len() as u64);
        tracing::info!(rows = done.len(), "told what was left in the outbox");
        ledger.outbox_done(&done).await.ok()?;
    }
    (done.len() == count).then_some(count)
}
