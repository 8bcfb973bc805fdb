//! Ends a decision at its time.

use std::time::Duration;

use super::{Context, Job, JobError, Next};
use crate::domain::job::EndDecision;

/// How soon it is tried again, if it is not over yet by the ledger's clock.
const SOON: Duration = Duration::from_millis(500);

impl Job for EndDecision {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        Ok(match context.moderation.lapse(self.decision).await? {
            Some(_) => Next::Again { job: self, after: SOON },
            None => Next::Done,
        })
    }
}
