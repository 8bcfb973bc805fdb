//! Receipts of idempotency keys.

use std::collections::{BTreeMap, HashMap};

use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        Receipt,
        schema::{idempotency_keys, receipts},
    },
    Conn, Failure, batch,
};

/// Stores each receipt whose event has none yet, and answers what is stored then. The insert is whole by itself and may be repeated, so
/// it needs no transaction around it.
pub async fn store(conn: &mut Conn, given: &[Receipt]) -> Result<Vec<String>, Failure> {
    // The first of an event wins, within one call as well; sorted, so that two instances touch the rows in one order.
    let mut first: BTreeMap<Uuid, &str> = BTreeMap::new();
    for receipt in given {
        first.entry(receipt.event_id).or_insert(&receipt.body);
    }
    if batch::add_receipts(conn, &first).await? == first.len() && first.len() == given.len() {
        return Ok(given.iter().map(|receipt| receipt.body.clone()).collect());
    }
    let ids: Vec<&[u8]> = first.keys().map(|id| id.as_bytes().as_slice()).collect();
    let rows: Vec<(Vec<u8>, String)> = receipts::table.filter(receipts::event_id.eq_any(&ids)).load(conn).await?;
    let stored: HashMap<Vec<u8>, String> = rows.into_iter().collect();
    let body = |receipt: &Receipt| stored.get(receipt.event_id.as_bytes().as_slice()).unwrap_or(&receipt.body).clone();
    Ok(given.iter().map(body).collect())
}

/// The receipt of a key, of this release or of the one before.
pub async fn receipt(conn: &mut Conn, subject: &str, key: &str) -> Result<Option<String>, Failure> {
    let found: Option<(Option<String>, Option<String>)> = idempotency_keys::table
        .left_join(receipts::table.on(receipts::event_id.eq(idempotency_keys::event_id)))
        .filter(idempotency_keys::subject.eq(subject))
        .filter(idempotency_keys::key.eq(key))
        .select((receipts::body.nullable(), idempotency_keys::receipt))
        .first(conn)
        .await
        .optional()?;
    Ok(found.and_then(|(stored, of_old)| stored.or(of_old)))
}
