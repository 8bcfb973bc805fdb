//! Committing scores to the ledger.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    LIMIT, Ledger, LedgerError,
    failure::{Failure, Remedy},
    transact,
};
use crate::domain::{
    announcement::{Announcement, Change},
    definition::Definitions,
    submission::{Refusal, Settled, Submission},
    time::Clock,
};

/// A committed batch.
#[derive(Debug)]
pub struct Committed {
    /// One per submission, in order.
    pub outcomes: Vec<Settled>,
    /// The changes to announce to the ranking, in the order in which they were settled.
    pub changes: Vec<Change>,
    /// The outbox row that holds the changes, if there are any.
    pub outbox: Option<i64>,
    /// New names to announce, each with its outbox row.
    pub renames: Vec<(i64, Announcement)>,
    /// The revision of the definitions that the batch was settled with.
    pub definitions_revision: i64,
}

/// The progress of a batch's commit.
#[derive(Debug, Default)]
pub struct Progress {
    written: AtomicBool,
    changed: Notify,
}

impl Progress {
    /// Whether everything is written, and only the database's own commit is left: from then on the disk is what it waits for.
    pub fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    /// Waits until everything is written, for a single waiter. A commit that fails earlier may never get there.
    pub async fn written(&self) {
        while !self.is_written() {
            self.changed.notified().await;
        }
    }

    pub(super) fn set_written(&self) {
        self.written.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

/// A written batch, of either engine.
pub(super) struct Written {
    pub outcomes: Vec<Settled>,
    pub changes: Vec<Change>,
    pub outbox: Option<i64>,
    pub renames: Vec<(i64, Announcement)>,
    pub definitions: Arc<Definitions>,
}

/// How a batch is to be committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    /// Lock what is read, see [`Needs`](super::postgres::queries::scores::Needs::cautious).
    pub cautious: bool,
    /// Look every idempotency key up, see [`Ledger::commit`].
    pub look_up_keys: bool,
    /// Roll it back when it is written: only to see whether it can be written.
    pub trial: bool,
}

/// How many batches after a race are cautious, and how many after a repeated key look keys up. Long enough to make races rare
/// if instances share busy users, short enough to forget a single one soon.
const CAUTIOUS_BATCHES: u32 = 64;

/// How often a batch is repeated that raced with another one. Each repeat finds the rows that the other one made, so few
/// repeats are needed.
const ATTEMPTS: u32 = 8;

/// How often a batch that may hold refused data is tried, before its halves are.
const SUSPECT_ATTEMPTS: u32 = 2;

impl Ledger {
    /// Commits a batch, durably: when this returns, the accepted submissions survive everything. Each submission gets its
    /// outcome, and none spoils its neighbours: if the database refuses one because of its data, the others are committed
    /// without it.
    ///
    /// Hardly any idempotency key was used before, and the insert of a key detects it. So keys are not looked up until one
    /// turns out to be a repeat, and then for a while.
    ///
    /// On `Unavailable` it is unknown whether the batch was committed.
    pub async fn commit(
        &self,
        batch: &Arc<[Submission]>,
        clock: &Clock,
        progress: &Arc<Progress>,
    ) -> Result<Committed, LedgerError> {
        let committed = self.commit_good(batch, clock, progress).await;
        self.writability.note(&committed);
        committed
    }

    /// Commits what the database accepts of a batch.
    async fn commit_good(
        &self,
        batch: &Arc<[Submission]>,
        clock: &Clock,
        progress: &Arc<Progress>,
    ) -> Result<Committed, LedgerError> {
        let failure = match self.settle(batch.clone(), clock, progress, false).await {
            Ok(written) => return Ok(committed(written)),
            Err(failure) if failure.remedy() == Remedy::Suspect => failure,
            Err(failure) => return Err(failure.into()),
        };
        let mut bad = Vec::new();
        self.search(batch, 0, clock, &mut bad).await?;
        if bad.is_empty() || self.prove_writable(clock).await.is_err() {
            return Err(failure.into()); // Then the submissions are not the cause.
        }
        tracing::error!(?failure, refused = bad.len(), "submissions that the database cannot hold");
        let good = batch.iter().enumerate().filter(|(index, _)| !bad.contains(index)).map(|(_, submission)| submission.clone());
        let mut written = self.settle(good.collect(), clock, progress, false).await?;
        for index in bad {
            written.outcomes.insert(index, Settled::Refused(Refusal::Unstorable));
        }
        Ok(committed(written))
    }

    /// Writes data that the database is known to accept, and rolls it back: submitted data is blamed only while that succeeds.
    pub(super) async fn prove_writable(&self, clock: &Clock) -> Result<(), LedgerError> {
        let now = clock.now();
        match transact!(self.write(LIMIT), scores::known_good(now)) {
            Ok(()) | Err(Failure::Trial) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Finds the submissions that the database refuses, in ascending order, by bisection. Nothing is committed.
    async fn search(&self, batch: &[Submission], offset: usize, clock: &Clock, bad: &mut Vec<usize>) -> Result<(), LedgerError> {
        let middle = batch.len() / 2;
        for (start, half) in [(0, &batch[..middle]), (middle, &batch[middle..])].into_iter().filter(|(_, half)| !half.is_empty())
        {
            match self.settle(half.into(), clock, &Arc::default(), true).await {
                Ok(_) | Err(Failure::Trial) => {}
                Err(failure) if failure.remedy() != Remedy::Suspect => return Err(failure.into()),
                Err(_) if half.len() == 1 => bad.push(offset + start),
                Err(_) => Box::pin(self.search(half, offset + start, clock, bad)).await?,
            }
        }
        Ok(())
    }

    /// Settles and writes a batch, repeating it if it raced; commits it, or rolls it back if it is only a trial.
    async fn settle(
        &self,
        batch: Arc<[Submission]>,
        clock: &Clock,
        progress: &Arc<Progress>,
        trial: bool,
    ) -> Result<Written, Failure> {
        let mut attempt = 1;
        loop {
            let (batch, known, clock, progress) = (batch.clone(), self.known.load_full(), clock.clone(), progress.clone());
            let mode = Mode {
                cautious: self.cautious.load(Ordering::Relaxed) > 0,
                look_up_keys: self.repeats.load(Ordering::Relaxed) > 0,
                trial,
            };
            let failure = match transact!(self.settle(LIMIT), scores::commit(&batch, &known, &clock, &progress, mode)) {
                Ok(written) => {
                    crate::failpoints::failpoint!("batch-committed", Failure::Unreachable);
                    self.remember(&written.definitions);
                    for left in [&self.cautious, &self.repeats] {
                        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok();
                    }
                    return Ok(written);
                }
                Err(failure) => failure,
            };
            if matches!(failure, Failure::KeyUsed) {
                self.repeats.store(CAUTIOUS_BATCHES, Ordering::Relaxed);
            }
            if matches!(failure, Failure::Raced) {
                self.cautious.store(CAUTIOUS_BATCHES, Ordering::Relaxed);
                metrics::counter!("scoreboard_commit_races_total").increment(1);
            }
            let attempts = match failure.remedy() {
                Remedy::Repeat => ATTEMPTS,
                Remedy::Suspect => SUSPECT_ATTEMPTS,
                Remedy::Report => 1,
            };
            if attempt >= attempts {
                return Err(failure);
            }
            // Jitter, so that batches that raced do not race again in step.
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
        renames: written.renames,
        definitions_revision: written.definitions.revision,
    }
}
