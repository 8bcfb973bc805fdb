//! Sweeps the rows of a deleted leaderboard, which are no longer visible.

use std::time::Duration;

use super::{Context, Job, JobError, Next, Turn};
use crate::domain::job::SweepLeaderboard;

/// How long a run goes on before other jobs get their turn.
const TURN: Duration = Duration::from_secs(10);
const BITE: i64 = 1000;

impl Job for SweepLeaderboard {
    async fn run(mut self, context: &Context) -> Result<Next<Self>, JobError> {
        let turn = Turn::of(TURN);
        while let Some(left) = context.ledger.sweep_leaderboard(self, BITE).await? {
            self = left;
            if !turn.goes_on().await {
                return Ok(Next::Again { job: self, after: Duration::ZERO });
            }
        }
        Ok(Next::Done)
    }
}
