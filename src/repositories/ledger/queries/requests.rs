//! Requests other than scores that may be repeated under an idempotency key: they share the keys' table with scores.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::{
    super::super::{LedgerError, Updated, schema::idempotency_keys, seasons::SeasonAnswer},
    Conn, Failure, audit, boundaries, leaderboards, locks,
};
use crate::domain::{
    audit::{Act, Deed},
    ids::LeaderboardId,
    season::Season,
    settlement::event_id,
    submission::RequestKey,
    time::Timestamp,
};

/// Ends a season, once for each key; see [`boundaries::end_now`].
pub async fn end_season(
    conn: &mut Conn,
    id: &LeaderboardId,
    ends: i64,
    name: Option<String>,
    act: &Act,
    key: Option<&RequestKey>,
    answer: impl FnOnce(&Season) -> String,
) -> Result<SeasonAnswer, Failure> {
    locks::definitions_exclusively(conn).await?;
    if let Some(body) = answered(conn, key).await? {
        return Ok(SeasonAnswer::Before(body));
    }
    let (season, announced) = boundaries::end_now(conn, id, ends, name, act.at).await?;
    let body = answer(&season);
    store(conn, key, &body, act.at).await?;
    let details = json!({ "season": season.number, "name": season.name, "startsAt": season.starts_at });
    audit::record(conn, act, &Deed::new("season.end", leaderboards::season_target(id, ends), details)).await?;
    Ok(SeasonAnswer::Now(Box::new(Updated { value: (season, body), outbox: Some(announced) })))
}

/// The answer that was given under a key; `None` if it is new, and taken from now on, or was never answered. `KeyReused`.
pub async fn begin(conn: &mut Conn, key: &RequestKey, now: Timestamp) -> Result<Option<String>, Failure> {
    let row = idempotency_keys::table.find((&key.subject, &key.key));
    let used = row.select((idempotency_keys::fingerprint, idempotency_keys::receipt));
    match used.first::<(Vec<u8>, Option<String>)>(conn).await.optional()? {
        Some((print, answer)) if print == key.fingerprint => Ok(answer),
        Some(_) => Err(LedgerError::KeyReused.into()),
        None => {
            add(conn, key, None, now).await?;
            Ok(None)
        }
    }
}

/// Stores the answer under a key that was begun, unless there is one; returns the stored one.
pub async fn answer(conn: &mut Conn, key: &RequestKey, body: &str) -> Result<String, Failure> {
    let row = idempotency_keys::table.find((&key.subject, &key.key));
    let unanswered = row.filter(idempotency_keys::receipt.is_null());
    diesel::update(unanswered).set(idempotency_keys::receipt.eq(body)).execute(conn).await?;
    let stored: Option<Option<String>> = row.select(idempotency_keys::receipt).first(conn).await.optional()?;
    // Pruned meanwhile: nobody will ask again.
    Ok(stored.flatten().unwrap_or_else(|| body.to_owned()))
}

/// The answer that was given under this key. `KeyReused` if it was used for something else.
async fn answered(conn: &mut Conn, key: Option<&RequestKey>) -> Result<Option<String>, Failure> {
    let Some(RequestKey { subject, key, fingerprint }) = key else { return Ok(None) };
    let used = idempotency_keys::table.find((subject, key)).select((idempotency_keys::fingerprint, idempotency_keys::receipt));
    let used: Option<(Vec<u8>, Option<String>)> = used.first(conn).await.optional()?;
    match used {
        None => Ok(None),
        Some((print, Some(body))) if print == fingerprint => Ok(Some(body)),
        Some(_) => Err(LedgerError::KeyReused.into()),
    }
}

async fn store(conn: &mut Conn, key: Option<&RequestKey>, body: &str, now: Timestamp) -> Result<(), Failure> {
    match key {
        Some(key) => add(conn, key, Some(body), now).await,
        None => Ok(()),
    }
}

async fn add(conn: &mut Conn, key: &RequestKey, body: Option<&str>, now: Timestamp) -> Result<(), Failure> {
    let RequestKey { subject, key, fingerprint } = key;
    let event = event_id(now);
    let row = (
        (idempotency_keys::subject.eq(subject), idempotency_keys::key.eq(key), idempotency_keys::created_at.eq(now.0)),
        (idempotency_keys::event_id.eq(event.as_bytes().as_slice()), idempotency_keys::receipt.eq(body)),
        idempotency_keys::fingerprint.eq(fingerprint.as_slice()),
    );
    diesel::insert_into(idempotency_keys::table).values(row).execute(conn).await?;
    Ok(())
}
