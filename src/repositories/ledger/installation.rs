//! What the ledger knows of itself, so that no ranking is ever fed from two ledgers, nor from one and its own past.

use uuid::Uuid;

use super::{LIMIT, Ledger, LedgerError, failure::Failure, transact};

impl Ledger {
    /// An id that no other ledger has, once [`Self::settle_in`] has ensured that.
    pub async fn installation_id(&self) -> Result<String, LedgerError> {
        Ok(transact!(self.read(LIMIT), installation::id())?)
    }

    /// Takes a new id if this ledger is a copy in another location than the one that got the id; returns whether it did. A copy
    /// of a whole cluster, file by file, cannot be recognised like this.
    pub async fn settle_in(&self) -> Result<bool, LedgerError> {
        let home = or_unknown(transact!(self.read(LIMIT), installation::home()))?;
        if home.is_empty() {
            return Ok(false);
        }
        let id = Uuid::new_v4().to_string();
        Ok(transact!(self.write(LIMIT), installation::settle_in(&home, &id))?)
    }

    /// Takes a new id instead of this one, because another ledger uses it as well; returns the id that counts from now on.
    pub async fn renew_installation_id(&self, old: &str) -> Result<String, LedgerError> {
        let (old, new) = (old.to_owned(), Uuid::new_v4().to_string());
        Ok(transact!(self.write(LIMIT), installation::renew_id(&old, &new))?)
    }

    /// The timeline of the write-ahead log: a different one means that the end of the history may have been lost. Empty if it
    /// is unknown.
    pub async fn timeline(&self) -> Result<String, LedgerError> {
        or_unknown(transact!(self.read(LIMIT), installation::timeline()))
    }

    /// The timeline on which the newest claim was made.
    pub async fn claimed_timeline(&self) -> Result<Option<String>, LedgerError> {
        Ok(transact!(self.read(LIMIT), installation::claimed_timeline())?)
    }

    /// Records, durably, a token that is about to be put into the ranking store.
    pub async fn add_claim(&self, token: &str, timeline: &str) -> Result<(), LedgerError> {
        let (token, timeline) = (token.to_owned(), timeline.to_owned());
        Ok(transact!(self.write(LIMIT), installation::add_claim(&token, &timeline))?)
    }

    /// Whether this ledger has ever put that token there, as far as it remembers.
    pub async fn knows_claim(&self, token: &str) -> Result<bool, LedgerError> {
        let token = token.to_owned();
        Ok(transact!(self.read(LIMIT), installation::knows_claim(&token))?)
    }
}

/// A server that does not report it, because it is of another make or does not allow it, can still be used.
fn or_unknown(told: Result<String, Failure>) -> Result<String, LedgerError> {
    match told {
        Err(Failure::Database { error, .. }) => {
            tracing::debug!(%error, "the database does not report its identity");
            Ok(String::new())
        }
        told => Ok(told?),
    }
}
