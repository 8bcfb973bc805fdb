//! `/api/users/{userId}`: what is known about a user.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        caller::{Caller, Permission},
        ids::{Noun, UserId},
        time::Timestamp,
        user::{Profile, User},
    },
    http::{caller::ProfileWriter, problem::Problem},
    services::error::ServiceError,
};

use super::{
    App,
    body::{self, Json, broken, json_size, nullable},
    params::Segments,
};

/// Bytes of JSON that a user's metadata may take.
const METADATA_LIMIT: usize = 4096;

/// A user as clients write it whole; absent fields are removed.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileBody {
    #[validate(length(min = 1, max = 64), custom(function = "body::name"))]
    display_name: Option<String>,
    #[validate(length(max = 2048), custom(function = "web_address"))]
    avatar_url: Option<String>,
    #[validate(custom(function = "country_code"))]
    country: Option<String>,
    #[serde(default, deserialize_with = "body::unambiguous")]
    #[validate(custom(function = "small_metadata"))]
    metadata: Option<Map<String, Value>>,
}

/// What is to be changed of a user; null removes it.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileChange {
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(min = 1, max = 64), custom(function = "body::name"))]
    display_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 2048), custom(function = "web_address"))]
    avatar_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[validate(custom(function = "country_code"))]
    country: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable_metadata")]
    #[validate(custom(function = "small_metadata"))]
    metadata: Option<Option<Map<String, Value>>>,
}

fn nullable_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Map<String, Value>>>, D::Error> {
    body::unambiguous(deserializer).map(Some)
}

fn web_address(text: &str) -> Result<(), ValidationError> {
    // The parser passes over tabs and line ends.
    let whole = !text.contains(|character: char| character.is_control() || character.is_whitespace());
    let web = whole && url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if web { Ok(()) } else { Err(broken("url", "must be an http or https address")) }
}

fn country_code(code: &str) -> Result<(), ValidationError> {
    let well_formed = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if well_formed { Ok(()) } else { Err(broken("format", "must be an ISO 3166-1 alpha-2 code such as GB")) }
}

fn small_metadata(metadata: &Map<String, Value>) -> Result<(), ValidationError> {
    json_size(metadata, METADATA_LIMIT)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    user_id: &'a UserId,
    display_name: Option<&'a str>,
    avatar_url: Option<&'a str>,
    country: Option<&'a str>,
    metadata: Option<&'a Map<String, Value>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> From<&'a User> for View<'a> {
    fn from(user: &'a User) -> Self {
        let profile = &user.profile;
        Self {
            user_id: &user.id,
            display_name: profile.display_name.as_deref(),
            avatar_url: profile.avatar_url.as_deref(),
            country: profile.country.as_deref(),
            metadata: profile.metadata.as_ref(),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// `GET /api/users/{userId}`
pub async fn get(State(services): App, caller: Caller, Segments(id): Segments<String>) -> Result<Response, Problem> {
    // Checked before the id: a caller that may not read learns nothing about ids.
    caller.authorize(Permission::ReadProfile).map_err(ServiceError::from)?;
    let id = UserId::parse(&id).map_err(|_| ServiceError::NotFound(Noun::User))?;
    let user = services.users.get(&caller, &id).await?;
    Ok(axum::Json(View::from(&user)).into_response())
}

/// `PUT /api/users/{userId}`
pub async fn put(
    State(services): App,
    ProfileWriter(caller): ProfileWriter,
    Segments(id): Segments<String>,
    Json(body): Json<ProfileBody>,
) -> Result<Response, Problem> {
    let id = UserId::parse_new(&id).map_err(|error| ServiceError::invalid("userId", "format", error.0))?;
    let ProfileBody { display_name, avatar_url, country, metadata } = body;
    let profile = Profile { display_name, avatar_url, country, metadata };
    let user = services.users.change(&caller, &id, true, |_| profile).await?;
    Ok(axum::Json(View::from(&user)).into_response())
}

/// `PATCH /api/users/{userId}`
pub async fn update(
    State(services): App,
    ProfileWriter(caller): ProfileWriter,
    Segments(id): Segments<String>,
    Json(body): Json<ProfileChange>,
) -> Result<Response, Problem> {
    let id = UserId::parse_new(&id).map_err(|error| ServiceError::invalid("userId", "format", error.0))?;
    let change = |before: &Profile| Profile {
        display_name: body.display_name.unwrap_or_else(|| before.display_name.clone()),
        avatar_url: body.avatar_url.unwrap_or_else(|| before.avatar_url.clone()),
        country: body.country.unwrap_or_else(|| before.country.clone()),
        metadata: body.metadata.unwrap_or_else(|| before.metadata.clone()),
    };
    let user = services.users.change(&caller, &id, false, change).await?;
    Ok(axum::Json(View::from(&user)).into_response())
}
