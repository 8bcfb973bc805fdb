//! Idempotency keys of requests that are no scores.

use super::{LIMIT, Ledger, LedgerError, moderation::repeating, transact};
use crate::domain::{submission::RequestKey, time::Timestamp};

impl Ledger {
    /// The answer that was given under this key; `None` if it is new, and taken from now on, or was never answered. `KeyReused`.
    pub async fn begin_request(&self, key: &RequestKey, now: Timestamp) -> Result<Option<String>, LedgerError> {
        // Two first uses at once: the second one finds the first.
        let begin = || {
            let key = key.clone();
            async move { transact!(self.write(LIMIT), requests::begin(&key, now)) }
        };
        Ok(repeating(begin).await?)
    }

    /// Stores the answer under a key that was begun, unless there is one; returns the stored one.
    pub async fn answer_request(&self, key: &RequestKey, body: String) -> Result<String, LedgerError> {
        let key = key.clone();
        Ok(transact!(self.write(LIMIT), requests::answer(&key, &body))?)
    }
}
