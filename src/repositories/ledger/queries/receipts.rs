//! Receipts of idempotency keys.

use std::collections::{BTreeMap, HashMap};

use diesel::{OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{Receipt, schema::idempotency_keys},
    Conn, Failure, batch,
};

/// Stores each receipt whose key has none yet, and answers what is stored then.
pub async fn store(conn: &mut Conn, receipts: &[Receipt]) -> Result<Vec<String>, Failure> {
    // The first of a key wins, within one call as well; sorted, so that two instances touch the rows in one order.
    let mut first: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for receipt in receipts {
        first.entry((&receipt.subject, &receipt.key)).or_insert(&receipt.body);
    }
    let stored: HashMap<(String, String), String> = batch::put_receipts(conn, &first).await?;
    let body =
        |receipt: &Receipt| stored.get(&(receipt.subject.to_string(), receipt.key.clone())).unwrap_or(&receipt.body).clone();
    Ok(receipts.iter().map(body).collect())
}

/// The receipt of a key.
pub async fn receipt(conn: &mut Conn, subject: &str, key: &str) -> Result<Option<String>, Failure> {
    let receipt = idempotency_keys::table.find((subject, key)).select(idempotency_keys::receipt).first(conn).await;
    Ok(receipt.optional()?.flatten())
}
