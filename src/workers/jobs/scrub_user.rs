//! Removes what is left of a user who was erased.

use std::time::Duration;

use uuid::Uuid;

use super::{Context, Job, JobError, Next, Turn};
use crate::domain::job::ScrubUser;

/// How long a run goes on, and how long it rests afterwards.
const TURN: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(5);
/// Score events that one step reads.
const STEP: i64 = 5_000;

impl Job for ScrubUser {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        let Self { user, names, pseudonym, until, after } = self;
        let turn = Turn::of(TURN);
        let mut after = match after {
            Some(after) => after,
            None => {
                context.ledger.scrub_answers(&user, &pseudonym, until).await?;
                Uuid::nil()
            }
        };
        loop {
            let next = context.ledger.scrub_history(&user, &pseudonym, (after, until), STEP).await?;
            let Some(next) = next else {
                context.ledger.scrub_reasons(user, names, until).await?;
                return Ok(Next::Done);
            };
            after = next;
            if !turn.goes_on().await {
                return Ok(Next::Again { job: Self { user, names, pseudonym, until, after: Some(after) }, after: REST });
            }
        }
    }
}
