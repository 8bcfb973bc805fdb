//! The outbox: committed announcements that are still pending.

use std::collections::HashMap;

use uuid::Uuid;

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    announcement::{Announcement, Change},
    ids::UserId,
    leaderboard::Board,
    time::Timestamp,
};

/// How long a claimed row is reserved for the instance that claimed it. Longer than announcing it takes; announcing it twice
/// does no harm, and a row that could not be announced should not wait long for the next attempt.
pub const CLAIM_SECONDS: i64 = 5;

/// How long a row is postponed that could not be announced although the ranking answered, by how often that happened.
pub const POSTPONED_SECONDS: [i64; 4] = [5, 10, 20, 60];

/// A row that was announced, and the rankings that applied it: their boards' pks, each with the epoch that it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    pub row: i64,
    pub epochs: Vec<(i64, i64)>,
}

/// A ranking that is not the one that the ledger knows of. If it is behind, another one has been built since, elsewhere,
/// perhaps from entries that lack what was announced to this one. If it is ahead, the ledger has been set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherEpoch {
    pub pk: i64,
    pub ranking: i64,
    pub ledger: i64,
}

impl Ledger {
    /// Claims up to `limit` rows after row `after` that were created before `made_before`, in their order, for `CLAIM_SECONDS`:
    /// no other instance gets the same rows meanwhile. A row that is neither [`Self::outbox_done`] nor
    /// [`Self::outbox_unclaim`]ed by then is due again. `None` represents a row that cannot be parsed.
    pub async fn outbox_due(
        &self,
        now: Timestamp,
        made_before: Timestamp,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Option<Announcement>)>, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), outbox::due(now, made_before, after, limit))?)
    }

    /// Releases claimed rows that this instance cannot announce: another one may reach a ranking that this one does not.
    pub async fn outbox_unclaim(&self, rows: &[i64]) -> Result<(), LedgerError> {
        let rows = rows.to_vec();
        if rows.is_empty() {
            return Ok(());
        }
        Ok(transact!(self.relaxed(LIMIT), outbox::unclaim(&rows))?)
    }

    /// Removes rows that were announced to the rankings that the ledger knows of. The others stay, unclaimed, and their epochs
    /// are returned. If a crash restores a row, it is announced twice.
    pub async fn outbox_done(&self, rows: &[Announced]) -> Result<Vec<OtherEpoch>, LedgerError> {
        let rows = rows.to_vec();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        crate::failpoints::failpoint!("outbox-done", LedgerError::Unavailable);
        Ok(transact!(self.relaxed(LIMIT), outbox::done(&rows))?)
    }

    /// Makes postponed rows due: what they waited for may have been announced.
    pub async fn outbox_release_postponed(&self) -> Result<(), LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), outbox::release_postponed())?)
    }

    /// Postpones rows, longer each time, that could not be announced although the ranking answered.
    pub async fn outbox_postpone(&self, rows: &[i64], now: Timestamp) -> Result<(), LedgerError> {
        let rows = rows.to_vec();
        if rows.is_empty() {
            return Ok(());
        }
        Ok(transact!(self.relaxed(LIMIT), outbox::postpone(&rows, now))?)
    }

    /// Which of these rows still exist.
    pub async fn outbox_left(&self, rows: &[i64]) -> Result<Vec<i64>, LedgerError> {
        let rows = rows.to_vec();
        Ok(transact!(self.read(LIMIT), outbox::left(&rows))?)
    }

    /// For each of these leaderboards the first pending row before row `before` that concerns it, if there is one: whatever that
    /// row announces has to wait for it.
    pub async fn outbox_first_pending(&self, pks: &[i64], before: i64) -> Result<HashMap<i64, i64>, LedgerError> {
        let pks = pks.to_vec();
        Ok(transact!(self.read(LIMIT), outbox::first_pending(&pks, before))?)
    }

    /// The number of pending rows.
    pub async fn outbox_len(&self) -> Result<i64, LedgerError> {
        Ok(transact!(self.read(LIMIT), outbox::len())?)
    }

    /// Whether the outbox holds the change that made this revision of an entry.
    pub async fn outbox_holds(&self, board: Board, user: &UserId, revision: i64) -> Result<bool, LedgerError> {
        let user = user.clone();
        Ok(transact!(self.read(LIMIT), outbox::holds(board, &user, revision))?)
    }

    /// The changes that made the revisions of an entry between two others, in their order: what a ranking lacks that holds the
    /// former and is given the latter. Empty if some of them are not available, or there are too many.
    pub async fn changes_between(
        &self,
        board: Board,
        user: &UserId,
        after: i64,
        before: i64,
    ) -> Result<Vec<Change>, LedgerError> {
        let user = user.clone();
        Ok(transact!(self.read(LIMIT), history::changes_between(board, &user, after, before))?)
    }

    /// Which of these score events the ledger does not have.
    pub async fn unknown_events(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, LedgerError> {
        let ids = ids.to_vec();
        Ok(transact!(self.read(LIMIT), evidence::unknown(&ids))?)
    }

    /// The revisions of these users' entries, if they have one.
    pub async fn entry_revisions(&self, board: Board, users: &[UserId]) -> Result<HashMap<UserId, i64>, LedgerError> {
        let users = users.to_vec();
        Ok(transact!(self.read(LIMIT), entries::revisions(board, &users))?)
    }

    /// The newest epoch that was allotted to a ranking of this leaderboard; `None` if there is no such leaderboard.
    pub async fn epoch(&self, pk: i64) -> Result<Option<i64>, LedgerError> {
        let pks = [pk];
        let epochs = transact!(self.read(LIMIT), leaderboards::epochs_of(&pks))?;
        Ok(epochs.get(&pk).copied())
    }

    /// The newest epoch that was allotted to a ranking of each leaderboard, by pk.
    pub async fn epochs(&self) -> Result<HashMap<i64, i64>, LedgerError> {
        Ok(transact!(self.read(LIMIT), leaderboards::epochs())?)
    }
}
