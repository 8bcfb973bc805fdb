//! Deletes idempotency keys and their receipts after their time.

use std::time::Duration;

use super::{Context, Job, JobError, Next, Turn};
use crate::domain::job::{PruneKeys, PruneReceipts};

/// Keys are stored for at least 24 hours.
const KEPT_SECONDS: i64 = 25 * 3600;
/// The receipts of stored keys are stored as well, however long the walk through the keys takes.
const RECEIPTS_KEPT_SECONDS: i64 = 2 * KEPT_SECONDS;
/// How long a run goes on, and how long it rests afterwards.
const TURN: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(60);
/// How long after a complete walk through the keys the next one begins.
const REST_AFTER_WALK: Duration = Duration::from_secs(600);
/// A row may hold 32 receipts.
const RECEIPTS_BITE: i64 = 200;

impl Job for PruneKeys {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(mut self, context: &Context) -> Result<Next<Self>, JobError> {
        let turn = Turn::of(TURN);
        // Includes deletions by instances of earlier releases that run beside this one.
        context.ledger.adopt_deleted(context.clock.now()).await?;
        loop {
            let (_, next) = context.ledger.prune_idempotency_keys(context.seen().plus_seconds(-KEPT_SECONDS), self).await?;
            let Some(next) = next else { return Ok(Next::Again { job: Self::default(), after: REST_AFTER_WALK }) };
            self = next;
            if !turn.goes_on().await {
                return Ok(Next::Again { job: self, after: REST });
            }
        }
    }
}

impl Job for PruneReceipts {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        let (turn, until) = (Turn::of(TURN), context.seen().plus_seconds(-RECEIPTS_KEPT_SECONDS));
        while context.ledger.prune_receipts(until, RECEIPTS_BITE).await? > 0 && turn.goes_on().await {}
        Ok(Next::Again { job: self, after: REST })
    }
}
