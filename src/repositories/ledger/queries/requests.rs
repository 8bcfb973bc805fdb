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
    let Some(RequestKey { subject, key, fingerprint }) = key else { return Ok(()) };
    let event = event_id(now);
    let row = (
        (idempotency_keys::subject.eq(subject), idempotency_keys::key.eq(key), idempotency_keys::created_at.eq(now.0)),
        (idempotency_keys::event_id.eq(event.as_bytes().as_slice()), idempotency_keys::receipt.eq(body)),
        idempotency_keys::fingerprint.eq(fingerprint.as_slice()),
    );
    diesel::insert_into(idempotency_keys::table).values(row).execute(conn).await?;
    Ok(())
}
