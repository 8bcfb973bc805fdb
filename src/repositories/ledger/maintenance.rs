//! Keeping the ledger small.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::time::Timestamp;

impl Ledger {
    /// Forgets up to `limit` idempotency keys from before a time, oldest first; answers how many.
    pub async fn prune_idempotency_keys(&self, older_than: Timestamp, limit: i64) -> Result<usize, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::prune_keys(older_than, limit))?)
    }

    /// Takes one bite (about `limit` rows) out of what deleted leaderboards left behind, which nobody can see any more; answers whether
    /// there is more to do.
    pub async fn sweep_deleted(&self, limit: i64) -> Result<bool, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::sweep(limit))?)
    }
}
