//! Makes users be found by their present names, all of them in turn.

use std::time::Duration;

use super::{Context, Job, JobError, Next, Turn};
use crate::domain::job::RepairSearch;

/// Users that one step reads.
const STEP: i64 = 500;
/// How long a run takes at most.
const RUN: Duration = Duration::from_secs(5);
/// The pause after all users: how long a name that the previous release has set during a deploy is not found.
const PAUSE: Duration = Duration::from_secs(3600);

impl Job for RepairSearch {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(mut self, context: &Context) -> Result<Next<Self>, JobError> {
        let turn = Turn::of(RUN);
        loop {
            match context.ledger.repair_search(&self.after, STEP).await? {
                None => return Ok(Next::Again { job: Self::default(), after: PAUSE }),
                Some(last) => self.after = last,
            }
            if !turn.goes_on().await {
                return Ok(Next::Again { job: self, after: Duration::ZERO });
            }
        }
    }
}
