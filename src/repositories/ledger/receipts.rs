//! Receipts: the exact answers that were given to submissions with an idempotency key, so that a repeat gets the same answer.
//!
//! The receipts of a commit are stored together, several per row, compressed: a row and an index entry for each would cost more
//! than its score. If a batch was not stored in time, because its instance died, a repeat seals it, and from then on each
//! receipt is stored by itself.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    LIMIT, Ledger, LedgerError,
    failure::{Failure, Remedy},
    transact,
};

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The batch of its commit, see [`Accepted::receipt_batch`](crate::domain::submission::Accepted::receipt_batch).
    pub batch: Uuid,
    pub event_id: Uuid,
    pub body: String,
}

/// A row of the batches: its id, and its receipts, packed. A sealed one has none.
pub(super) type PackedBatch = (Uuid, Option<Vec<u8>>);

/// How often storing is attempted: storing twice does no harm, and a connection may break on the way.
const ATTEMPTS: usize = 3;

/// The bytes of an event's id.
const ID: usize = 16;
/// The bytes of a body's length.
const LENGTH: usize = 4;

impl Ledger {
    /// Stores answers, the first one for each event winning; returns what is stored now, in order. Durably: a receipt that a
    /// crash took could only be made again without its ranks, although a client has already seen them.
    pub async fn store_receipts(&self, receipts: Vec<Receipt>) -> Result<Vec<String>, LedgerError> {
        let packed: Arc<[_]> = receipts.chunk_by(|one, other| one.batch == other.batch).map(pack).collect();
        let receipts: Arc<[_]> = receipts.into();
        let store = || {
            let (receipts, packed) = (receipts.clone(), packed.clone());
            async move { transact!(self.statement(LIMIT), receipts::store(&receipts, &packed)) }
        };
        repeating(store).await
    }

    /// Stores the answer to a repeat whose first submission was never answered, unless that has an answer by now; returns what
    /// is stored.
    pub async fn settle_receipt(&self, subject: &str, key: &str, event_id: Uuid, body: String) -> Result<String, LedgerError> {
        let settle = || {
            let (subject, key, body) = (subject.to_owned(), key.to_owned(), body.clone());
            async move { transact!(self.statement(LIMIT), receipts::settle(&subject, &key, event_id, &body)) }
        };
        repeating(settle).await
    }

    /// The stored answer for a key.
    pub async fn receipt(&self, subject: &str, key: &str) -> Result<Option<String>, LedgerError> {
        let (subject, key) = (subject.to_owned(), key.to_owned());
        Ok(transact!(self.read(LIMIT), receipts::receipt(&subject, &key))?)
    }
}

/// Repeats it if that helps.
async fn repeating<R, F: Future<Output = Result<R, Failure>>>(run: impl Fn() -> F) -> Result<R, LedgerError> {
    let mut attempt = 1;
    loop {
        match run().await {
            Err(failure) if failure.remedy() == Remedy::Repeat && attempt < ATTEMPTS => attempt += 1,
            result => return Ok(result?),
        }
    }
}

/// The batch's id, and its receipts one after the other, compressed (LZ4, the length first): event id, length of the body (big
/// endian), body.
fn pack(receipts: &[Receipt]) -> PackedBatch {
    let bodies = receipts.iter().map(|receipt| (&receipt.event_id, receipt.body.as_str()));
    let size = receipts.iter().map(|receipt| ID + LENGTH + receipt.body.len()).sum();
    (receipts[0].batch, Some(packed(size, bodies)))
}

/// The same for bodies by event.
pub(super) fn pack_all(bodies: &HashMap<Uuid, String>) -> Vec<u8> {
    packed(0, bodies.iter().map(|(id, body)| (id, body.as_str())))
}

fn packed<'a>(size: usize, bodies: impl Iterator<Item = (&'a Uuid, &'a str)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    for (event_id, body) in bodies {
        bytes.extend_from_slice(event_id.as_bytes());
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(body.as_bytes());
    }
    lz4_flex::compress_prepend_size(&bytes)
}

/// The requested bodies of a packed batch, by event.
pub(super) fn unpack(packed: &[u8], is_wanted: impl Fn(&Uuid) -> bool) -> Result<HashMap<Uuid, String>, Failure> {
    let bytes = lz4_flex::decompress_size_prepended(packed).map_err(Failure::corrupt)?;
    let mut rest = bytes.as_slice();
    let mut bodies = HashMap::new();
    while let Some((head, tail)) = rest.split_at_checked(ID + LENGTH) {
        let (id, length) = head.split_at(ID);
        let length = u32::from_be_bytes(length.try_into().map_err(Failure::corrupt)?) as usize;
        let (body, tail) = tail.split_at_checked(length).ok_or_else(|| Failure::corrupt("a receipt ends too early"))?;
        let id = Uuid::from_slice(id).map_err(Failure::corrupt)?;
        if is_wanted(&id) {
            bodies.insert(id, String::from_utf8(body.to_vec()).map_err(Failure::corrupt)?);
        }
        rest = tail;
    }
    Ok(bodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_packed_and_unpacked() {
        let receipt = |body: &str| Receipt { batch: Uuid::nil(), event_id: Uuid::new_v4(), body: body.into() };
        let receipts = [receipt("{\"rank\":1}"), receipt(""), receipt(&"ö".repeat(10_000))];
        let (id, packed) = pack(&receipts);
        let packed = packed.unwrap();
        assert_eq!(id, Uuid::nil());
        assert!(packed.len() < 1_000, "{}", packed.len());
        let bodies = unpack(&packed, |_| true).unwrap();
        let second = receipts[1].event_id;
        assert_eq!(unpack(&packed, |id| *id == second).unwrap(), [(second, String::new())].into());
        assert_eq!(bodies, receipts.map(|receipt| (receipt.event_id, receipt.body)).into());
        assert!(unpack(&packed[..packed.len() - 1], |_| true).is_err());
    }
}
