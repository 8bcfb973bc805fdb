//! Committing scores to the ledger.

use std::{sync::Arc, time::Duration};

use super::{
    LIMIT, Ledger, LedgerError,
    failure::{Failure, Remedy},
    transact,
};
use crate::domain::{
    announcement::Change,
    definition::Definitions,
    submission::{Refusal, Settled, Submission},
    time::Clock,
};

/// A committed batch.
#[derive(Debug)]
pub struct Committed {
    /// One per submission, in order.
    pub outcomes: Vec<Settled>,
    /// What the ranking has to be told, in the order in which it was settled.
    pub changes: Vec<Change>,
    /// The outbox row that holds the changes, where there are any.
    pub outbox: Option<i64>,
    /// The revision of the definitions that the batch was settled by.
    pub definitions_revision: i64,
}

/// A batch that was written, of whichever engine.
pub(super) struct Written {
    pub outcomes: Vec<Settled>,
    pub changes: Vec<Change>,
    pub outbox: Option<i64>,
    pub definitions: Arc<Definitions>,
}

/// How often a batch is repeated that raced with another one. Each repeat finds the rows that the other one made, so few are ever needed.
const ATTEMPTS: u32 = 8;

/// How often a batch is tried that may hold what the database refuses, before its halves are.
const SUSPECT_ATTEMPTS: u32 = 2;

impl Ledger {
    /// Commits a batch, durably: when this returns, the accepted submissions survive everything. Each submission gets its outcome, and
    /// none spoils its neighbours: where the database refuses one for what it says, the others are committed without it.
    ///
    /// On `Unavailable` it is unknown whether the batch was committed.
    pub async fn commit(&self, batch: &[Submission], clock: &Clock) -> Result<Committed, LedgerError> {
        let shared: Arc<[Submission]> = batch.into();
        let failure = match self.settle(shared, clock, true).await {
            Ok(written) => return Ok(committed(written)),
            Err(failure) if failure.remedy() == Remedy::Suspect && batch.len() > 1 => failure,
            Err(failure) => return Err(failure.into()),
        };
        let mut bad = Vec::new();
        self.search(batch, 0, clock, &mut bad).await?;
        if bad.len() == batch.len() {
            return Err(failure.into()); // Then it is not the submissions.
        }
        tracing::error!(?failure, refused = bad.len(), "submissions that the database cannot hold");
        let good = batch.iter().enumerate().filter(|(index, _)| !bad.contains(index)).map(|(_, submission)| submission.clone());
        let mut written = self.settle(good.collect(), clock, true).await?;
        for index in bad {
            written.outcomes.insert(index, Settled::Refused(Refusal::Unstorable));
        }
        Ok(committed(written))
    }

    /// Finds the submissions that the database refuses, in ascending order, by trying halves. Nothing is committed.
    async fn search(&self, batch: &[Submission], offset: usize, clock: &Clock, bad: &mut Vec<usize>) -> Result<(), LedgerError> {
        let middle = batch.len() / 2;
        for (start, half) in [(0, &batch[..middle]), (middle, &batch[middle..])] {
            match self.settle(half.into(), clock, false).await {
                Ok(_) | Err(Failure::Trial) => {}
                Err(failure) if failure.remedy() != Remedy::Suspect => return Err(failure.into()),
                Err(_) if half.len() == 1 => bad.push(offset + start),
                Err(_) => Box::pin(self.search(half, offset + start, clock, bad)).await?,
            }
        }
        Ok(())
    }

    /// Settles and writes a batch, repeating it where it raced; commits it, or takes it back where it is only a trial.
    async fn settle(&self, batch: Arc<[Submission]>, clock: &Clock, keep: bool) -> Result<Written, Failure> {
        let mut attempt = 1;
        loop {
            let (batch, known, clock) = (batch.clone(), self.known.load_full(), clock.clone());
            let failure = match transact!(self.settle(LIMIT), scores::commit(&batch, &known, &clock, keep)) {
                Ok(written) => {
                    crate::failpoints::failpoint!("batch-committed", Failure::Unreachable);
                    self.remember(&written.definitions);
                    return Ok(written);
                }
                Err(failure) => failure,
            };
            let attempts = match failure.remedy() {
                Remedy::Repeat => ATTEMPTS,
                Remedy::Suspect => SUSPECT_ATTEMPTS,
                Remedy::Report => 1,
            };
            if attempt >= attempts {
                return Err(failure);
            }
            // Jitter, so that those who raced do not race again in step.
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..2_000 << attempt))).await;
            attempt += 1;
        }
    }

    fn remember(&self, definitions: &Arc<Definitions>) {
        if self.known.load().revision != definitions.revision {
            self.known.store(definitions.clone());
        }
    }
}

fn committed(written: Written) -> Committed {
    Committed {
        outcomes: written.outcomes,
        changes: written.changes,
        outbox: written.outbox,
        definitions_revision: written.definitions.revision,
    }
}
