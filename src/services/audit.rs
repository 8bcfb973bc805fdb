//! The audit trail, as those who may read it see it.

use std::sync::Arc;

use crate::{
    domain::{
        audit::{AuditEntry, GENESIS},
        caller::{Caller, Permission},
    },
    repositories::ledger::Ledger,
};

use super::{error::ServiceError, turns::Turns};

/// See the module's documentation.
pub struct Audit {
    pub ledger: Ledger,
    pub turns: Arc<Turns>,
}

/// Consecutive entries, and the newest one's number and hash.
pub struct Page {
    /// Oldest first.
    pub entries: Vec<AuditEntry>,
    pub head: (i64, String),
}

impl Audit {
    /// Up to `limit` entries after number `after`.
    pub async fn page(&self, caller: &Caller, after: i64, limit: i64) -> Result<Page, ServiceError> {
        caller.authorize_everywhere(Permission::ReadAudit)?;
        let _turn = self.turns.next().await?;
        let (entries, head) = self.ledger.audit(after, limit).await?;
        Ok(Page { entries, head: head.unwrap_or_else(|| (0, GENESIS.to_owned())) })
    }

    /// The newest entry's number and hash, to be kept elsewhere; `None` if the ledger does not answer.
    pub async fn head(&self) -> Option<(i64, String)> {
        self.ledger.audit_head().await.ok().map(|head| head.unwrap_or_else(|| (0, GENESIS.to_owned())))
    }
}
