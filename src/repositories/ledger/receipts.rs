//! Receipts: the very answers that were given to submissions with an idempotency key, so that a repeat is answered alike.

use std::sync::Arc;

use super::{LIMIT, Ledger, LedgerError, failure::Remedy, transact};

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub subject: Arc<str>,
    pub key: String,
    pub body: String,
}

/// How often storing is repeated when other instances store the same receipts at the same time.
const ATTEMPTS: usize = 4;

impl Ledger {
    /// Stores answers, the first one for each key winning; answers what is stored now, in order (for a key that is gone: the body given).
    /// Durably: a receipt that a crash took could only be made again without its ranks, and they were told to somebody.
    pub async fn store_receipts(&self, receipts: &[Receipt]) -> Result<Vec<String>, LedgerError> {
        let mut attempt = 1;
        loop {
            let given = receipts.to_vec();
            match transact!(self.write(LIMIT), receipts::store(&given)) {
                Err(failure) if failure.remedy() == Remedy::Repeat && attempt < ATTEMPTS => attempt += 1,
                result => return Ok(result?),
            }
        }
    }

    /// The answer that is stored for a key.
    pub async fn receipt(&self, subject: &str, key: &str) -> Result<Option<String>, LedgerError> {
        let (subject, key) = (subject.to_owned(), key.to_owned());
        Ok(transact!(self.read(LIMIT), receipts::receipt(&subject, &key))?)
    }
}
