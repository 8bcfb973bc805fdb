//! Decisions of moderators in the ledger.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Engine, LIMIT, Ledger, LedgerError,
    failure::{Failure, Remedy},
    transact,
};
use crate::domain::{
    announcement::{Announcement, Change},
    audit::Act,
    decision::{CorrectedEntry, Decision, DecisionFilter, NewDecision},
    ids::{LeaderboardId, UserId},
    review::Review,
    settlement::EntryKey,
    time::Timestamp,
};

/// Decisions that were committed together, or tried.
#[derive(Debug)]
pub struct Moderated {
    /// One per decision: what was made, or why it was refused.
    pub decided: Vec<Result<Decided, LedgerError>>,
    /// The changes to announce to the rankings, in order.
    pub changes: Vec<Change>,
    /// The outbox rows: these changes, if there are any, and new names.
    pub outbox: Vec<(i64, Announcement)>,
}

/// A decision that was made.
#[derive(Debug)]
pub struct Decided {
    pub decision: Decision,
    /// For each of its entries that is announced: the entry's place in it, and the change's in [`Moderated::changes`].
    pub changes: Vec<(usize, usize)>,
}

/// Verdicts that were committed together.
#[derive(Debug)]
pub struct JudgedTogether {
    /// One per verdict: what came of it, or why it was refused.
    pub judged: Vec<Result<Judged, LedgerError>>,
    /// The changes to announce to the rankings, in order.
    pub changes: Vec<Change>,
    /// The outbox rows of these changes, if there are any.
    pub outbox: Vec<(i64, Announcement)>,
}

/// A verdict that is in force.
#[derive(Debug)]
pub struct Judged {
    pub review: Review,
    /// The entries that it changed.
    pub entries: Vec<CorrectedEntry>,
    /// As those of [`Decided`], in [`JudgedTogether::changes`].
    pub changes: Vec<(usize, usize)>,
}

/// The entries of a decision, before and after their ranks were known.
#[derive(Debug)]
pub struct Ranked {
    pub id: Uuid,
    pub before: Vec<CorrectedEntry>,
    pub after: Vec<CorrectedEntry>,
}

/// The entries that a transaction wrote, or would have written if no commit had changed them first. Its repeat locks them.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<BTreeSet<EntryKey>>>);

impl Held {
    pub fn add<'a>(&self, keys: impl Iterator<Item = &'a EntryKey>) {
        self.0.lock().extend(keys.cloned());
    }

    pub fn keys(&self) -> Vec<EntryKey> {
        self.0.lock().iter().cloned().collect()
    }
}

/// How long decisions may take that commits may have to wait for: users with a hundred thousand scores are erased as well.
pub(super) const MODERATE_LIMIT: Duration = Duration::from_secs(90);

/// How often a transaction is repeated that raced with commits.
const ATTEMPTS: u32 = 8;

impl Ledger {
    /// Carries out decisions together, each for itself; with `dry`, rolls them back. `BoundaryDue`: a season of one of their
    /// leaderboards has to be ended first, and nothing was done.
    pub async fn decide(&self, new: Vec<NewDecision>, act: Act, dry: bool) -> Result<Moderated, LedgerError> {
        let (new, held, tried): (Arc<[_]>, Held, Arc<Mutex<Option<Moderated>>>) = (new.into(), Held::default(), Arc::default());
        let sanctions = new.iter().any(|decision| decision.measure.sanctions());
        let decide = || {
            let (new, act, held, tried) = (Arc::clone(&new), act.clone(), held.clone(), Arc::clone(&tried));
            async move { transact!(self.moderate(MODERATE_LIMIT), moderation::decide_or_try(&new, &act, dry, &held, &tried)) }
        };
        let moderated = match repeating(decide).await {
            Err(Failure::Trial) => return tried.lock().take().ok_or_else(|| Failure::Trial.into()),
            moderated => moderated?,
        };
        crate::failpoints::failpoint!("decisions-committed", LedgerError::Unavailable);
        if sanctions {
            self.outlast_commits().await?;
        }
        Ok(moderated)
    }

    /// Takes a decision back; one that has `lapsed` ends by itself, which nobody has done. `NotFound`; `Conflict` if it cannot be
    /// taken back; `BoundaryDue` as above.
    pub async fn take_back(&self, id: Uuid, act: impl Into<Act>, lapsed: bool) -> Result<Moderated, LedgerError> {
        let (act, held) = (act.into(), Held::default());
        let take_back = || {
            let (act, held) = (act.clone(), held.clone());
            async move { transact!(self.moderate(MODERATE_LIMIT), moderation::take_back(id, &act, lapsed, &held)) }
        };
        Ok(repeating(take_back).await?)
    }

    /// Removes a user's entry from the present season of a leaderboard: its scores no longer count. `None` if there is no such
    /// entry.
    pub async fn remove_entry(
        &self,
        leaderboard: &LeaderboardId,
        user: &UserId,
        act: impl Into<Act>,
    ) -> Result<Option<Moderated>, LedgerError> {
        let (act, held) = (act.into(), Held::default());
        let remove = || {
            let (leaderboard, user, act, held) = (leaderboard.clone(), user.clone(), act.clone(), held.clone());
            async move { transact!(self.moderate(MODERATE_LIMIT), moderation::remove_entry(&leaderboard, &user, &act, &held)) }
        };
        Ok(repeating(remove).await?)
    }

    /// Stores the entries of decisions as they turned out: with the ranks that were announced.
    pub async fn store_corrected(&self, of: Vec<Ranked>) -> Result<(), LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), decisions::store_entries(&of))?)
    }

    /// A decision.
    pub async fn decision(&self, id: Uuid) -> Result<Option<Decision>, LedgerError> {
        Ok(transact!(self.read(LIMIT), decisions::find(id))?)
    }

    /// Up to `limit` decisions, newest first.
    pub async fn decisions(&self, filter: &DecisionFilter, now: Timestamp, limit: i64) -> Result<Vec<Decision>, LedgerError> {
        let filter = filter.clone();
        Ok(transact!(self.serve(LIMIT), decisions::list(&filter, now, limit))?)
    }

    /// Removes stored answers about a user who was erased, from before that.
    pub async fn scrub_answers(&self, user: &UserId, pseudonym: &UserId, until: Uuid) -> Result<(), LedgerError> {
        let (user, pseudonym) = (user.clone(), pseudonym.clone());
        Ok(transact!(self.moderate(MODERATE_LIMIT), scrubbing::answers(&user, &pseudonym, until))?)
    }

    /// Removes reasons that name a user of these names; of stored answers, from those that were begun before an event.
    pub async fn scrub_reasons(&self, user: UserId, names: Vec<String>, until: Uuid) -> Result<(), LedgerError> {
        Ok(transact!(self.moderate(MODERATE_LIMIT), scrubbing::reasons(&user, &names, until))?)
    }

    /// Puts the pseudonym in the place of the subject in the next `limit` score events after one and before another; returns where
    /// to go on, if there is more.
    pub async fn scrub_history(
        &self,
        user: &UserId,
        pseudonym: &UserId,
        (after, until): (Uuid, Uuid),
        limit: i64,
    ) -> Result<Option<Uuid>, LedgerError> {
        let (user, pseudonym) = (user.clone(), pseudonym.clone());
        Ok(transact!(self.relaxed(LIMIT), scrubbing::history(&user, &pseudonym, (after, until), limit))?)
    }

    /// Waits until all commits have ended that began before: none of them knows what was committed just now.
    async fn outlast_commits(&self) -> Result<(), LedgerError> {
        match &self.engine {
            Engine::Postgres(_) => Ok(transact!(self.write(LIMIT), moderation::outlast_commits())?),
            Engine::Sqlite(_) => Ok(()),
        }
    }
}

/// Repeats it if that helps: each repeat locks the entries that the one before wrote too late.
pub(super) async fn repeating<R, F: Future<Output = Result<R, Failure>>>(run: impl Fn() -> F) -> Result<R, Failure> {
    let mut attempt = 1;
    loop {
        match run().await {
            Err(failure) if failure.remedy() == Remedy::Repeat && attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(0..2_000 << attempt))).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}
