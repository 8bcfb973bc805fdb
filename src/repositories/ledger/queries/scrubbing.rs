//! What is left of users who were erased, removed in steps that keep nobody waiting.

use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl,
    TextExpressionMethods,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        receipts::{pack_all, unpack},
        schema::{idempotency_keys, receipt_batches, score_events},
    },
    Conn, Failure, maintenance,
    moderation::erase::escaped,
};
use crate::domain::{ids::UserId, settlement::time_of_event};

/// Removes stored answers to requests about the user, and the receipts of the user's scores.
pub async fn answers(conn: &mut Conn, user: &UserId, pseudonym: &UserId, until: Uuid) -> Result<(), Failure> {
    let in_json = serde_json::to_string(user.as_str()).map_err(Failure::corrupt)?;
    let told = idempotency_keys::receipt.like(format!("%\"userId\":{}%", escaped(&in_json))).escape('!');
    let before = idempotency_keys::created_at.lt(time_of_event(until).0);
    let answered = idempotency_keys::table.filter(idempotency_keys::receipt.is_not_null().and(before).and(told));
    diesel::update(answered).set(idempotency_keys::receipt.eq(None::<String>)).execute(conn).await?;
    let batches: Vec<Option<Vec<u8>>> = idempotency_keys::table
        .inner_join(score_events::table.on(score_events::event_id.eq(idempotency_keys::event_id)))
        .filter(score_events::user_id.eq(pseudonym.as_str()).and(idempotency_keys::receipt_batch.is_not_null()))
        .select(idempotency_keys::receipt_batch)
        .distinct()
        .load(conn)
        .await?;
    for id in batches.into_iter().flatten() {
        let row = receipt_batches::table.find(&id).select(receipt_batches::receipts);
        let Some(packed) = row.first::<Option<Vec<u8>>>(conn).await.optional()?.flatten() else { continue };
        let mut bodies = unpack(&packed, |_| true)?;
        let events: Vec<&[u8]> = bodies.keys().map(|id| id.as_bytes().as_slice()).collect();
        let of_user = score_events::table.filter(score_events::event_id.eq_any(&events));
        let of_user = of_user.filter(score_events::user_id.eq(pseudonym.as_str())).select(score_events::event_id);
        let of_user: Vec<Vec<u8>> = of_user.load(conn).await?;
        let before = bodies.len();
        bodies.retain(|id, _| !of_user.iter().any(|event| event == id.as_bytes()));
        if bodies.len() < before {
            let set = receipt_batches::receipts.eq(pack_all(&bodies));
            diesel::update(receipt_batches::table.find(&id)).set(set).execute(conn).await?;
        }
    }
    Ok(())
}

/// Puts the pseudonym in the place of the subject in the next `limit` events of the history before `until`; returns where to go on.
pub async fn history(
    conn: &mut Conn,
    user: &UserId,
    pseudonym: &UserId,
    (after, until): (Uuid, Uuid),
    limit: i64,
) -> Result<Option<Uuid>, Failure> {
    let bite = maintenance::end_of_bite(conn, after, limit).await?;
    let until = until.as_bytes().to_vec();
    let bite = bite.filter(|end| *end < until);
    let end = bite.clone().unwrap_or(until);
    let range = score_events::event_id.gt(after.as_bytes().as_slice()).and(score_events::event_id.le(&end));
    let of_user = score_events::table.filter(range.and(score_events::subject.eq(user.as_str())));
    diesel::update(of_user).set(score_events::subject.eq(pseudonym.as_str())).execute(conn).await?;
    bite.map(|end| Uuid::from_slice(&end)).transpose().map_err(Failure::corrupt)
}
