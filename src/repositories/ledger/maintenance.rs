//! Keeping the ledger small.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    job::{PruneKeys, SweepLeaderboard},
    time::Timestamp,
};

impl Ledger {
    /// Deletes the idempotency keys from before a time among the next few thousand. Returns how many, and where to continue;
    /// `None` once the walk is complete.
    pub async fn prune_idempotency_keys(
        &self,
        older_than: Timestamp,
        from: PruneKeys,
    ) -> Result<(usize, Option<PruneKeys>), LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::prune_keys(older_than, from.clone()))?)
    }

    /// Deletes receipts of events from before a time, oldest first, up to `limit` rows of either kind; returns the number of
    /// rows.
    pub async fn prune_receipts(&self, older_than: Timestamp, limit: i64) -> Result<usize, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::prune_receipts(older_than, limit))?)
    }

    /// Sweeps about `limit` rows that a deleted leaderboard left behind; returns what is left to do.
    pub async fn sweep_leaderboard(&self, from: SweepLeaderboard, limit: i64) -> Result<Option<SweepLeaderboard>, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::sweep(from.clone(), limit))?)
    }

    /// Makes jobs of the deletions that earlier releases recorded.
    pub async fn adopt_deleted(&self, now: Timestamp) -> Result<(), LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::adopt_deleted(now))?)
    }
}
