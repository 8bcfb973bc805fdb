//! Keeping the ledger small.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::time::Timestamp;

impl Ledger {
    /// Forgets up to `limit` idempotency keys from before a time, oldest first; answers how many.
    pub async fn prune_idempotency_keys(&self, older_than: Timestamp, limit: i64) -> Result<usize, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), maintenance::prune_keys(older_than, limit))?)
    }
}
