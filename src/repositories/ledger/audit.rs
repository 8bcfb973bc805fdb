//! The audit trail in the ledger. Entries are added by whatever they are about, in its own transaction.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::audit::AuditEntry;

impl Ledger {
    /// Up to `limit` entries after number `after`, oldest first, and the newest one's number and hash.
    pub async fn audit(&self, after: i64, limit: i64) -> Result<(Vec<AuditEntry>, Option<(i64, String)>), LedgerError> {
        Ok(transact!(self.serve(LIMIT), audit::page_and_head(after, limit))?)
    }

    /// The newest entry's number and hash.
    pub async fn audit_head(&self) -> Result<Option<(i64, String)>, LedgerError> {
        Ok(transact!(self.read(LIMIT), audit::head())?)
    }
}
