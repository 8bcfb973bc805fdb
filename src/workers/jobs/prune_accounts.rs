//! Deletes what of accounts has expired: sessions, links, failures to sign in, arrivals of guests.

use std::time::Duration;

use super::{Context, Job, JobError, Next, Turn};
use crate::{domain::job::PruneAccounts, services::sessions::LISTED};

/// How long a run goes on, and how long it rests afterwards.
const TURN: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(60);
/// Rows of each kind that one step deletes.
const STEP: i64 = 500;

impl Job for PruneAccounts {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        let (turn, now) = (Turn::of(TURN), context.seen());
        while context.ledger.prune_accounts(now, now.plus_seconds(-LISTED), STEP).await? > 0 && turn.goes_on().await {}
        Ok(Next::Again { job: self, after: REST })
    }
}
