//! API keys. Commits depend on them, so they are part of the definitions and change under the same lock: from the moment of such a
//! change, no commit is settled with the former key.

use std::num::NonZeroU32;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value, json};

use super::{
    super::super::{LedgerError, schema::api_keys},
    Conn, Db, Failure, audit, definitions, locks,
};
use crate::domain::{
    api_key::{ApiKey, KeyRate, KeySettings, Secrets},
    audit::{Act, Deed},
    caller::Scope,
    definition::Changed,
    ids::{KeyId, LeaderboardId, Noun},
    time::Timestamp,
};

/// A row of `api_keys`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys, check_for_backend(Db))]
pub struct ApiKeyRow {
    id: String,
    name: String,
    scopes: String,
    leaderboards: Option<String>,
    expires_at: Option<i64>,
    per_second: Option<i64>,
    burst: Option<i64>,
    secret: Vec<u8>,
    former_secret: Option<Vec<u8>>,
    former_until: Option<i64>,
    created_at: i64,
    last_used_at: Option<i64>,
}

/// Stores a new key.
pub async fn create(conn: &mut Conn, key: &ApiKey, act: &Act) -> Result<(), Failure> {
    definitions::begin_change(conn, &[Changed::Key(key.id.clone())]).await?;
    if find(conn, &key.id).await?.is_some() {
        return Err(LedgerError::Taken.into());
    }
    insert(conn, key, None).await?;
    audit::record(conn, act, &Deed::new("key.create", target(&key.id), value_of(&key.settings))).await
}

/// Changes settings or secrets to what `change` makes of the present key. The audit names what it `did`.
pub async fn change(
    conn: &mut Conn,
    id: &KeyId,
    act: &Act,
    did: &'static str,
    change: impl FnOnce(&ApiKey) -> Result<(KeySettings, Secrets), LedgerError>,
) -> Result<(ApiKey, Option<Timestamp>), Failure> {
    locks::definitions_exclusively(conn).await?;
    let (before, last_used_at) = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Key))?;
    let (settings, secrets) = change(&before)?;
    let deed = Deed::change(did, target(id), &value_of(&before.settings), &value_of(&settings));
    let after = ApiKey::new(before.id.clone(), settings, secrets, before.created_at);
    if (&after.settings, &after.secrets) != (&before.settings, &before.secrets) {
        definitions::begin_change(conn, &[Changed::Key(id.clone())]).await?;
        diesel::delete(api_keys::table.find(id.as_str())).execute(conn).await?;
        insert(conn, &after, last_used_at).await?;
    }
    audit::record(conn, act, &deed).await?;
    Ok((after, last_used_at))
}

/// Deletes the key, if `may` allows it.
pub async fn delete(
    conn: &mut Conn,
    id: &KeyId,
    act: &Act,
    may: impl FnOnce(&ApiKey) -> Result<(), LedgerError>,
) -> Result<(), Failure> {
    definitions::begin_change(conn, &[Changed::Key(id.clone())]).await?;
    let (key, _) = find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Key))?;
    may(&key)?;
    diesel::delete(api_keys::table.find(id.as_str())).execute(conn).await?;
    audit::record(conn, act, &Deed::new("key.delete", target(id), Value::Object(Map::new()))).await
}

/// The key of this id, and when it was last used.
pub async fn find(conn: &mut Conn, id: &KeyId) -> Result<Option<(ApiKey, Option<Timestamp>)>, Failure> {
    let row = api_keys::table.find(id.as_str()).select(ApiKeyRow::as_select()).first(conn).await.optional()?;
    row.map(ApiKeyRow::into_key).transpose()
}

/// Up to `limit` keys after this id, in the order of their ids.
pub async fn page(conn: &mut Conn, after: Option<&KeyId>, limit: i64) -> Result<Vec<(ApiKey, Option<Timestamp>)>, Failure> {
    let mut rows = api_keys::table.order(api_keys::id).limit(limit).select(ApiKeyRow::as_select()).into_boxed();
    if let Some(after) = after {
        rows = rows.filter(api_keys::id.gt(after.as_str().to_owned()));
    }
    rows.load(conn).await?.into_iter().map(ApiKeyRow::into_key).collect()
}

/// Notes when these keys were last used. No definition changes by it.
pub async fn note_uses(conn: &mut Conn, uses: &[(KeyId, Timestamp)]) -> Result<(), Failure> {
    for (id, at) in uses {
        let earlier =
            api_keys::table.find(id.as_str()).filter(api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(at.0)));
        diesel::update(earlier).set(api_keys::last_used_at.eq(at.0)).execute(conn).await?;
    }
    Ok(())
}

async fn insert(conn: &mut Conn, key: &ApiKey, last_used_at: Option<Timestamp>) -> Result<(), Failure> {
    let (settings, former) = (&key.settings, key.secrets.former);
    let row = ApiKeyRow {
        id: key.id.to_string(),
        name: settings.name.clone(),
        scopes: joined(settings.scopes.iter().map(Scope::as_str)),
        leaderboards: settings.leaderboards.as_ref().map(|ids| joined(ids.iter().map(LeaderboardId::as_str))),
        expires_at: settings.expires_at.map(|at| at.0),
        per_second: settings.rate.map(|rate| rate.per_second.get().into()),
        burst: settings.rate.map(|rate| rate.burst.get().into()),
        secret: key.secrets.present.to_vec(),
        former_secret: former.map(|(secret, _)| secret.to_vec()),
        former_until: former.map(|(_, until)| until.0),
        created_at: key.created_at.0,
        last_used_at: last_used_at.map(|at| at.0),
    };
    diesel::insert_into(api_keys::table).values(row).execute(conn).await?;
    Ok(())
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn target(id: &KeyId) -> String {
    format!("key:{id}")
}

/// What the audit trail shows of a key: never a secret, nor its hash.
fn value_of(settings: &KeySettings) -> Value {
    json!({
        "name": settings.name,
        "scopes": settings.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "leaderboards": settings.leaderboards,
        "expiresAt": settings.expires_at,
        "rateLimit": settings.rate.map(|rate| json!({ "perSecond": rate.per_second, "burst": rate.burst })),
    })
}

impl ApiKeyRow {
    /// The key made of this row, and when it was last used. Scopes of a later release are left out.
    pub fn into_key(self) -> Result<(ApiKey, Option<Timestamp>), Failure> {
        let hash =
            |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map_err(|_| Failure::corrupt("a secret's hash has another length"));
        let whole = |number: i64| u32::try_from(number).ok().and_then(NonZeroU32::new);
        let bound = |ids: String| ids.split_whitespace().map(LeaderboardId::parse).collect::<Result<_, _>>();
        let rate = self.per_second.and_then(whole).zip(self.burst.and_then(whole));
        let former = self.former_secret.map(hash).transpose()?.zip(self.former_until.map(Timestamp));
        let settings = KeySettings {
            name: self.name,
            scopes: self.scopes.split_whitespace().filter_map(Scope::named).collect(),
            leaderboards: self.leaderboards.map(bound).transpose().map_err(Failure::corrupt)?,
            expires_at: self.expires_at.map(Timestamp),
            rate: rate.map(|(per_second, burst)| KeyRate { per_second, burst }),
        };
        let id = KeyId::parse(&self.id).map_err(Failure::corrupt)?;
        let secrets = Secrets { present: hash(self.secret)?, former };
        Ok((ApiKey::new(id, settings, secrets, Timestamp(self.created_at)), self.last_used_at.map(Timestamp)))
    }
}
