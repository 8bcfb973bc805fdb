//! What is left of users who were erased, removed in steps that keep nobody waiting.

use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl,
    TextExpressionMethods,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::super::{
        receipts::{pack_all, unpack},
        schema::{idempotency_keys, receipt_batches, score_events},
    },
    Conn, Failure, maintenance,
    moderation::erase::{Personal, escaped},
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

/// Removes stored answers to requests of moderators, whose reasons name the user: what they decided is told anew, without that.
pub async fn reasons(conn: &mut Conn, user: &UserId, names: &[String], until: Uuid) -> Result<(), Failure> {
    let personal = Personal { user: user.clone(), names: names.to_vec() };
    for pattern in personal.patterns() {
        // As it stands in a string of JSON.
        let pattern = serde_json::to_string(&pattern).map_err(Failure::corrupt)?;
        let named = idempotency_keys::receipt.like(pattern.trim_matches('"').to_owned()).escape('!');
        let has_reason = idempotency_keys::receipt.like("%\"reason\":\"%");
        let before = idempotency_keys::created_at.lt(time_of_event(until).0);
        let answers = idempotency_keys::table.filter(before.and(has_reason).and(named));
        let columns = (idempotency_keys::subject, idempotency_keys::key, idempotency_keys::receipt);
        for (subject, key, answer) in answers.select(columns).load::<(String, String, Option<String>)>(conn).await? {
            let answer: Value = answer.as_deref().map_or(Ok(Value::Null), serde_json::from_str).map_err(Failure::corrupt)?;
            if gives_reason(&answer, &personal) {
                let row = diesel::update(idempotency_keys::table.find((subject, key)));
                row.set(idempotency_keys::receipt.eq(None::<String>)).execute(conn).await?;
            }
        }
    }
    Ok(())
}

/// Whether a reason somewhere in this value names the user.
fn gives_reason(value: &Value, personal: &Personal) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| match value {
            Value::String(text) => name == "reason" && personal.is_in(text),
            value => gives_reason(value, personal),
        }),
        Value::Array(values) => values.iter().any(|value| gives_reason(value, personal)),
        _ => false,
    }
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
