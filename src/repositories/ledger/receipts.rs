//! Receipts: the very answers that were given to submissions with an idempotency key, so that a repeat is answered alike.

use uuid::Uuid;

use super::{LIMIT, Ledger, LedgerError, failure::Remedy, transact};

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub event_id: Uuid,
    pub body: String,
}

/// How often storing is tried: storing twice does no harm, and a connection may break on the way.
const ATTEMPTS: usize = 3;

impl Ledger {
    /// Stores answers, the first one for each event winning; answers what is stored now, in order. Durably: a receipt that a crash took could
    /// only be made again without its ranks, and they were told to somebody.
    pub async fn store_receipts(&self, receipts: &[Receipt]) -> Result<Vec<String>, LedgerError> {
        let mut attempt = 1;
        loop {
            let given = receipts.to_vec();
            match transact!(self.statement(LIMIT), receipts::store(&given)) {
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
