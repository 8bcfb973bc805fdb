//! Keeping the ledger small.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::time::Timestamp;

/// How far a walk through the idempotency keys has come. Each engine walks in the order in which it stores them: PostgreSQL by page,
/// SQLite by subject and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysCursor {
    pub(super) page: i64,
    pub(super) after: (String, String),
}

impl Ledger {
    /// Forgets the idempotency keys from before a time among the next few thousand. Answers how many, and where to go on; `None` once the walk
    /// is through.
    pub async fn prune_idempotency_keys(
        &self,
        older_than: Timestamp,
        from: KeysCursor,
    ) -> Result<(usize, Option<KeysCursor>), LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::prune_keys(older_than, from.clone()))?)
    }

    /// Forgets receipts of events from before a time, oldest first, up to `limit` rows of either kind; answers how many rows.
    pub async fn prune_receipts(&self, older_than: Timestamp, limit: i64) -> Result<usize, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::prune_receipts(older_than, limit))?)
    }

    /// Takes one bite (about `limit` rows) out of what deleted leaderboards left behind, which nobody can see any more; answers whether
    /// there is more to do.
    pub async fn sweep_deleted(&self, limit: i64) -> Result<bool, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::sweep(limit))?)
    }
}
