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
    Conn, Failure,
    moderation::erase::escaped,
};
use crate::domain::ids::UserId;

/// Removes stored answers to requests about the user, and the receipts of the user's scores.
pub async fn answers(conn: &mut Conn, user: &UserId, pseudonym: &UserId) -> Result<(), Failure> {
    let in_json = serde_json::to_string(user.as_str()).map_err(Failure::corrupt)?;
    let told = idempotency_keys::receipt.like(format!("%{}%", escaped(&in_json))).escape('!');
    let answered = idempotency_keys::table.filter(idempotency_keys::receipt.is_not_null().and(told));
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
        let before = bodies.len();
        bodies.retain(|_, body| !body.contains(&in_json));
        if bodies.len() < before {
            let set = receipt_batches::receipts.eq(pack_all(&bodies));
            diesel::update(receipt_batches::table.find(&id)).set(set).execute(conn).await?;
        }
    }
    Ok(())
}

/// Puts the pseudonym in the place of the subject in the next `limit` events of the history; returns where to go on.
pub async fn history(
    conn: &mut Conn,
    user: &UserId,
    pseudonym: &UserId,
    after: Uuid,
    limit: i64,
) -> Result<Option<Uuid>, Failure> {
    let bite: Option<Vec<u8>> = score_events::table
        .filter(score_events::event_id.gt(after.as_bytes().as_slice()))
        .order((score_events::event_id, score_events::position))
        .offset(limit.max(1) - 1)
        .select(score_events::event_id)
        .first(conn)
        .await
        .optional()?;
    // 17 bytes of 0xff come after every event id.
    let end = bite.clone().unwrap_or(vec![0xff; 17]);
    let range = score_events::event_id.gt(after.as_bytes().as_slice()).and(score_events::event_id.le(&end));
    let of_user = score_events::table.filter(range.and(score_events::subject.eq(user.as_str())));
    diesel::update(of_user).set(score_events::subject.eq(pseudonym.as_str())).execute(conn).await?;
    bite.map(|end| Uuid::from_slice(&end)).transpose().map_err(Failure::corrupt)
}
