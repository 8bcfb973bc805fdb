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
    moderation::personal::{Personal, escaped, forget_named},
};
use crate::domain::{ids::UserId, settlement::time_of_event};

/// Empties stored answers to requests about the user, and removes the receipts of the user's scores. An empty answer says that somebody was
/// erased, and that its request is not carried out again.
pub async fn answers(conn: &mut Conn, user: &UserId, pseudonym: &UserId, until: Uuid) -> Result<(), Failure> {
    let told = format!("\"userId\":{}", serde_json::to_string(user.as_str()).map_err(Failure::corrupt)?);
    empty(conn, &format!("%{}%", escaped(&told)), until, |answer| answer.contains(&told)).await?;
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

/// Removes reasons that name the user, and empties stored answers to requests of moderators that give such reasons.
pub async fn reasons(conn: &mut Conn, user: &UserId, names: &[String], until: Uuid) -> Result<(), Failure> {
    let personal = Personal { user: user.clone(), names: names.to_vec() };
    forget_named(conn, &personal).await?;
    for pattern in personal.patterns() {
        // As it stands in a string of JSON.
        let pattern = serde_json::to_string(&pattern).map_err(Failure::corrupt)?;
        let gives_reason = |answer: &str| serde_json::from_str(answer).is_ok_and(|answer| gives_reason(&answer, &personal));
        empty(conn, pattern.trim_matches('"'), until, gives_reason).await?;
    }
    Ok(())
}

/// Empties those of the stored answers like this one, begun before an event, of which `told` is true.
async fn empty(conn: &mut Conn, pattern: &str, until: Uuid, told: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let before = idempotency_keys::created_at.lt(time_of_event(until).0);
    let answers = idempotency_keys::table.filter(before.and(idempotency_keys::receipt.like(pattern).escape('!')));
    let columns = (idempotency_keys::subject, idempotency_keys::key, idempotency_keys::receipt);
    for (subject, key, answer) in answers.select(columns).load::<(String, String, Option<String>)>(conn).await? {
        if answer.is_some_and(|answer| told(&answer)) {
            let row = diesel::update(idempotency_keys::table.find((subject, key)));
            row.set(idempotency_keys::receipt.eq("")).execute(conn).await?;
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
