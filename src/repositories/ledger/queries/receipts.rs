//! Receipts of idempotency keys.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        Receipt,
        receipts::{PackedBatch, unpack},
        schema::{idempotency_keys, receipt_batches, receipts},
    },
    Conn, Failure, batch,
};
use crate::domain::settlement::State;

/// Stores each batch, and returns what is then stored. Each statement is complete by itself and may be repeated, so no
/// transaction is needed.
pub async fn store(conn: &mut Conn, given: &[Receipt], packed: &[PackedBatch]) -> Result<Vec<String>, Failure> {
    if batch::add_receipt_batches(conn, packed).await? == packed.len() {
        return Ok(given.iter().map(|receipt| receipt.body.clone()).collect());
    }
    // It was stored by an attempt whose answer was lost, or sealed by a repeat that stopped waiting.
    let ids = packed.iter().map(|(id, _)| id.as_bytes().to_vec()).collect();
    let wanted = given.iter().map(|receipt| receipt.event_id).collect();
    let mut stored = of_batches(conn, &ids, &wanted).await?;
    let left = given.iter().filter(|receipt| !stored.contains_key(&receipt.event_id));
    let left: BTreeMap<Uuid, &str> = left.map(|receipt| (receipt.event_id, receipt.body.as_str())).collect();
    stored.extend(store_single(conn, &left).await?);
    let body = |receipt: &Receipt| stored.get(&receipt.event_id).unwrap_or(&receipt.body).clone();
    Ok(given.iter().map(body).collect())
}

/// Stores the receipt of a key whose batch has none, and seals the batch against getting one; returns what is then stored.
pub async fn settle(conn: &mut Conn, subject: &str, key: &str, event_id: Uuid, body: &str) -> Result<String, Failure> {
    let of_key = idempotency_keys::table.find((subject, key)).select(idempotency_keys::receipt_batch);
    let batch: Option<Option<Vec<u8>>> = of_key.first(conn).await.optional()?;
    if let Some(id) = batch.flatten() {
        // Seals the batch, unless it is stored.
        let sealed = (Uuid::from_slice(&id).map_err(Failure::corrupt)?, None);
        batch::add_receipt_batches(conn, &[sealed]).await?;
        if let Some(stored) = of_batches(conn, &[id].into(), &[event_id].into()).await?.remove(&event_id) {
            return Ok(stored);
        }
    }
    let stored = store_single(conn, &[(event_id, body)].into()).await?.remove(&event_id);
    Ok(stored.unwrap_or_else(|| body.to_owned()))
}

/// Stores each receipt whose event has none yet by itself, sorted, so that two instances write the rows in the same order;
/// returns what is then stored.
async fn store_single(conn: &mut Conn, given: &BTreeMap<Uuid, &str>) -> Result<HashMap<Uuid, String>, Failure> {
    if given.is_empty() {
        return Ok(HashMap::new());
    }
    batch::add_receipts(conn, given).await?;
    let ids: Vec<&[u8]> = given.keys().map(|id| id.as_bytes().as_slice()).collect();
    let rows: Vec<(Vec<u8>, String)> = receipts::table.filter(receipts::event_id.eq_any(&ids)).load(conn).await?;
    rows.into_iter().map(|(id, body)| Ok((Uuid::from_slice(&id).map_err(Failure::corrupt)?, body))).collect()
}

/// The receipts of these events in these batches; none for sealed ones.
pub async fn of_batches(
    conn: &mut Conn,
    ids: &BTreeSet<Vec<u8>>,
    wanted: &HashSet<Uuid>,
) -> Result<HashMap<Uuid, String>, Failure> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = receipt_batches::table.filter(receipt_batches::id.eq_any(ids)).select(receipt_batches::receipts);
    unpack_all(rows.load(conn).await?, wanted)
}

/// The events of the keys that were found.
pub fn wanted(state: &State) -> HashSet<Uuid> {
    state.keys.values().map(|used| used.event_id).collect()
}

/// Gives the keys that were found the receipts of their batches, which take precedence over single ones; but not over empty ones,
/// which say that the user was erased.
pub fn give(state: &mut State, mut batched: HashMap<Uuid, String>) {
    for used in state.keys.values_mut().filter(|used| used.receipt.as_deref() != Some("")) {
        used.receipt = batched.remove(&used.event_id).or(used.receipt.take());
    }
}

/// The receipts of these events in stored batches.
pub fn unpack_all(batches: Vec<Option<Vec<u8>>>, wanted: &HashSet<Uuid>) -> Result<HashMap<Uuid, String>, Failure> {
    let mut bodies = HashMap::new();
    for packed in batches.into_iter().flatten() {
        bodies.extend(unpack(&packed, |id| wanted.contains(id))?);
    }
    Ok(bodies)
}

/// The receipt of a key, stored by this release or an earlier one.
pub async fn receipt(conn: &mut Conn, subject: &str, key: &str) -> Result<Option<String>, Failure> {
    type Found = (Vec<u8>, Option<Vec<u8>>, Option<String>, Option<String>);
    let found: Option<Found> = idempotency_keys::table
        .left_join(receipt_batches::table.on(receipt_batches::id.nullable().eq(idempotency_keys::receipt_batch)))
        .left_join(receipts::table.on(receipts::event_id.eq(idempotency_keys::event_id)))
        .filter(idempotency_keys::subject.eq(subject))
        .filter(idempotency_keys::key.eq(key))
        .select((
            idempotency_keys::event_id,
            receipt_batches::receipts.nullable(),
            receipts::body.nullable(),
            idempotency_keys::receipt,
        ))
        .first(conn)
        .await
        .optional()?;
    let Some((event_id, packed, single, of_old)) = found else { return Ok(None) };
    if single.as_deref() == Some("") {
        return Ok(single);
    }
    let event_id = Uuid::from_slice(&event_id).map_err(Failure::corrupt)?;
    let batched =
        packed.map(|packed| unpack(&packed, |id| *id == event_id)).transpose()?.and_then(|mut bodies| bodies.remove(&event_id));
    Ok(batched.or(single).or(of_old))
}
