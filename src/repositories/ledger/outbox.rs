//! The outbox: announcements that were committed and have yet to be told.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{announcement::Announcement, time::Timestamp};

/// How long a claimed row is left to whoever claimed it. Longer than telling it takes; telling it twice does no harm, and a row that could
/// not be told should not wait long for the next try.
pub const CLAIM_SECONDS: i64 = 5;

impl Ledger {
    /// Claims up to `limit` rows made before `older_than`, oldest first, for some seconds: no other instance is given the same rows
    /// meanwhile. What is not [`Self::outbox_done`] by then is due again.
    pub async fn outbox_due(&self, older_than: Timestamp, limit: i64) -> Result<Vec<(i64, Announcement)>, LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), outbox::due(older_than, limit))?)
    }

    /// Removes rows that were told. Where a crash brings one back it is told twice.
    pub async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        let ids = ids.to_vec();
        if ids.is_empty() {
            return Ok(());
        }
        crate::failpoints::failpoint!("outbox-done", LedgerError::Unavailable);
        Ok(transact!(self.relaxed(LIMIT), outbox::done(&ids))?)
    }

    /// How many rows have yet to be told.
    pub async fn outbox_len(&self) -> Result<i64, LedgerError> {
        Ok(transact!(self.read(LIMIT), outbox::len())?)
    }
}
