//! `/api/keys`: API keys for game backends.

use std::num::NonZeroU32;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        api_key::{ApiKey, KeyRate, KeySettings, LATEST},
        caller::{Caller, Permission, Scope, Scopes},
        ids::{KeyId, LeaderboardId, Noun},
        time::Timestamp,
    },
    http::{caller::KeyManager, problem::Problem},
    services::{
        api_keys::{LONGEST_OVERLAP, NewKey},
        error::{FieldError, ServiceError},
    },
};

use super::{
    App,
    body::{self, Json, broken, distinct_slugs, nullable, nullable_object, present},
    params::{Params, Segments, next_cursor},
    whole::Whole,
};

/// The overlap of a rotation unless another one is asked for, in seconds: a day.
const OVERLAP: i64 = 86_400;

/// The requests that a key's holder may send to one instance.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateBody {
    #[validate(range(min = 1, max = 1_000_000))]
    per_second: Whole,
    #[validate(range(min = 1, max = 1_000_000))]
    burst: Whole,
}

/// A key as clients write it, each field optional in a change.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyBody {
    #[serde(default, deserialize_with = "present")]
    #[validate(length(min = 1, max = 128), custom(function = "body::name"))]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[validate(length(min = 1, max = 64))]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(min = 1, max = 64), custom(function = "distinct_slugs"))]
    leaderboards: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "nullable")]
    #[validate(custom(function = "time"))]
    expires_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    rate_limit: Option<Option<RateBody>>,
}

/// How a key is rotated.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationBody {
    #[serde(default, deserialize_with = "present")]
    #[validate(range(min = 0, max = "LONGEST_OVERLAP"))]
    overlap_seconds: Option<Whole>,
}

fn time(text: &str) -> Result<(), ValidationError> {
    let shown = text.parse::<Timestamp>().is_ok_and(|at| (Timestamp(0)..=LATEST).contains(&at));
    if shown { Ok(()) } else { Err(broken("format", "must be a time as in RFC 3339, of the years 1970 to 9999")) }
}

/// The change of a key's settings.
struct Change {
    name: Option<String>,
    scopes: Option<Scopes>,
    leaderboards: Option<Option<Vec<LeaderboardId>>>,
    expires_at: Option<Option<Timestamp>>,
    rate: Option<Option<KeyRate>>,
}

impl Change {
    fn parse(body: KeyBody) -> Result<Self, ServiceError> {
        let scopes = body.scopes.map(|names| scopes(&names)).transpose()?;
        // Checked with the body.
        let ids = |ids: Vec<String>| ids.iter().filter_map(|id| LeaderboardId::parse(id).ok()).collect();
        let whole = |number: Whole| u32::try_from(number.0).ok().and_then(NonZeroU32::new);
        let rate = |rate: RateBody| {
            let (per_second, burst) = whole(rate.per_second).zip(whole(rate.burst))?;
            Some(KeyRate { per_second, burst })
        };
        Ok(Self {
            name: body.name,
            scopes,
            leaderboards: body.leaderboards.map(|given| given.map(ids)),
            expires_at: body.expires_at.map(|given| given.and_then(|text| text.parse().ok())),
            rate: body.rate_limit.map(|given| given.and_then(rate)),
        })
    }

    fn over(self, base: KeySettings) -> KeySettings {
        KeySettings {
            name: self.name.unwrap_or(base.name),
            scopes: self.scopes.unwrap_or(base.scopes),
            leaderboards: self.leaderboards.map_or(base.leaderboards, |given| given.map(Into::into)),
            expires_at: self.expires_at.unwrap_or(base.expires_at),
            rate: self.rate.unwrap_or(base.rate),
        }
    }
}

fn scopes(names: &[String]) -> Result<Scopes, ServiceError> {
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    let unknown = |(index, name): (usize, &String)| {
        let field = || FieldError::new(format!("scopes[{index}]"), "unknown", format!("must be one of {known}"));
        Scope::named(name).is_none().then(field)
    };
    let errors: Vec<_> = names.iter().enumerate().filter_map(unknown).collect();
    if errors.is_empty() {
        Ok(names.iter().filter_map(|name| Scope::named(name)).collect())
    } else {
        Err(ServiceError::Invalid(errors))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: &'a KeyId,
    name: &'a str,
    hint: String,
    scopes: Vec<&'static str>,
    leaderboards: Option<&'a [LeaderboardId]>,
    rate_limit: Option<RateBody>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    /// The whole key, only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> View<'a> {
    fn new(key: &'a ApiKey, last_used_at: Option<Timestamp>) -> Self {
        let settings = &key.settings;
        let whole = |number: NonZeroU32| Whole(number.get().into());
        Self {
            id: &key.id,
            name: &settings.name,
            hint: key.hint(),
            scopes: settings.scopes.iter().map(Scope::as_str).collect(),
            leaderboards: settings.leaderboards.as_deref(),
            rate_limit: settings.rate.map(|rate| RateBody { per_second: whole(rate.per_second), burst: whole(rate.burst) }),
            created_at: key.created_at,
            expires_at: settings.expires_at,
            last_used_at,
            key: None,
        }
    }

    fn of_new(new: &'a NewKey) -> Self {
        Self { key: Some(&new.text), ..Self::new(&new.key, new.last_used_at) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    keys: Vec<View<'a>>,
    next_cursor: Option<String>,
}

/// An answer that holds a secret: nobody on the way may store it.
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

fn known(id: &str) -> Result<KeyId, ServiceError> {
    KeyId::parse(id).map_err(|_| ServiceError::NotFound(Noun::Key))
}

/// `POST /api/keys`
pub async fn create(
    State(services): App,
    KeyManager(caller): KeyManager,
    Json(body): Json<KeyBody>,
) -> Result<Response, Problem> {
    let required = |field: &'static str| ServiceError::invalid(field, "required", "a new key needs it");
    let change = Change::parse(body)?;
    let name = change.name.clone().ok_or_else(|| required("name"))?;
    let scopes = change.scopes.ok_or_else(|| required("scopes"))?;
    let base = KeySettings { name, scopes, leaderboards: None, expires_at: None, rate: None };
    let new = services.api_keys.create(&caller, change.over(base)).await?;
    let location = [(header::LOCATION, format!("/api/keys/{}", new.key.id))];
    Ok((StatusCode::CREATED, location, NO_STORE, axum::Json(View::of_new(&new))).into_response())
}

/// `GET /api/keys`
pub async fn list(State(services): App, caller: Caller, mut params: Params) -> Result<Response, Problem> {
    caller.authorize(Permission::ManageKeys).map_err(ServiceError::from)?;
    let limit = params.number("limit", 1..=100, 20);
    let cursor = params.cursor::<10>();
    let after = cursor.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).and_then(|id| KeyId::parse(&id).ok());
    if cursor.is_some() && after.is_none() {
        params.refuse("cursor", "format", "must be a nextCursor of this server");
    }
    params.finish()?;
    let page = services.api_keys.page(&caller, after.as_ref(), limit).await?;
    let keys = page.keys.iter().map(|(key, last_used_at)| View::new(key, *last_used_at)).collect();
    let next_cursor = page.next.map(|last| next_cursor(last.as_str()));
    Ok(axum::Json(PageView { keys, next_cursor }).into_response())
}

/// `GET /api/keys/{id}`
pub async fn get(State(services): App, caller: Caller, Segments(id): Segments<String>) -> Result<Response, Problem> {
    caller.authorize(Permission::ManageKeys).map_err(ServiceError::from)?;
    let (key, last_used_at) = services.api_keys.get(&caller, &known(&id)?).await?;
    Ok(axum::Json(View::new(&key, last_used_at)).into_response())
}

/// `PATCH /api/keys/{id}`
pub async fn update(
    State(services): App,
    KeyManager(caller): KeyManager,
    Segments(id): Segments<String>,
    Json(body): Json<KeyBody>,
) -> Result<Response, Problem> {
    let (id, change) = (known(&id)?, Change::parse(body)?);
    let named = change.leaderboards.clone().flatten();
    let updated = services.api_keys.update(&caller, &id, named.as_deref(), |base| change.over(base)).await?;
    Ok(axum::Json(View::new(&updated.0, updated.1)).into_response())
}

/// `POST /api/keys/{id}/rotate`
pub async fn rotate(
    State(services): App,
    KeyManager(caller): KeyManager,
    Segments(id): Segments<String>,
    Json(body): Json<RotationBody>,
) -> Result<Response, Problem> {
    let overlap = body.overlap_seconds.map_or(OVERLAP, |Whole(seconds)| seconds);
    let new = services.api_keys.rotate(&caller, &known(&id)?, overlap).await?;
    Ok((NO_STORE, axum::Json(View::of_new(&new))).into_response())
}

/// `DELETE /api/keys/{id}`
pub async fn delete(
    State(services): App,
    KeyManager(caller): KeyManager,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    services.api_keys.delete(&caller, &known(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
