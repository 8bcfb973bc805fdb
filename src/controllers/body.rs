//! JSON request bodies: parsed and checked, or refused with every invalid field named.

mod refusal;
mod unambiguous;

use std::{fmt, marker::PhantomData};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        ids::{InvalidId, LeaderboardId, UserId},
        text,
    },
    http::problem::Problem,
};

pub use unambiguous::{Unambiguous, unambiguous};

/// Largest body of an ordinary request, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;
/// Largest body of a batch, in bytes.
pub const BATCH_BODY_LIMIT: usize = 1024 * 1024;

/// The client stopped sending before a body was complete. The server reports this as the error of the body.
#[derive(Debug, thiserror::Error)]
#[error("the body stopped coming")]
pub struct Stalled;

/// A checked request body. 415 if it is not declared as JSON or is compressed, 408 if it stops arriving, 413 if it is too
/// large, 400 if it is not JSON, 422 if it fails validation.
pub struct Json<T, const LIMIT: usize = BODY_LIMIT>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate, const LIMIT: usize> FromRequest<S> for Json<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if is_encoded(&request) {
            return Err(Problem::encoded());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::too_large(LIMIT)
            }
            rejection if has_stalled(&rejection) => Problem::of_status(StatusCode::REQUEST_TIMEOUT),
            _ => Problem::not_json("the body could not be read to its end"),
        })?;
        parse(&bytes).map(Self)
    }
}

fn has_stalled(rejection: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(rejection), |error| error.source()).any(|error| error.is::<Stalled>())
}

/// JSON text as a checked value.
pub fn parse<T: DeserializeOwned + Validate>(text: &[u8]) -> Result<T, Problem> {
    let value: T = match serde_json::from_slice(text) {
        Ok(Object(value)) => value,
        // Parsed again, now tracking the path, to report what is wrong.
        Err(_) => explained(text)?,
    };
    value.validate().map_err(|errors| refusal::of_rules(&errors))?;
    Ok(value)
}

fn explained<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Object(value): Object<T> =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refusal::of_shape(&error, text))?;
    deserializer.end().map_err(|error| Problem::not_json(error.to_string()))?;
    Ok(value)
}

/// Whether the body is compressed or otherwise encoded, which is not supported here.
fn is_encoded(request: &Request) -> bool {
    let codings = request.headers().get_all(header::CONTENT_ENCODING);
    codings.iter().any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// A structure written as a JSON object: by itself serde accepts an array of its fields as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(OfMap(PhantomData)).map(Self)
    }
}

fn is_json(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A validation error with its explanation.
pub fn broken(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> ValidationError {
    ValidationError::new(code).with_message(message.into())
}

/// The text is a leaderboard's or an action's id.
pub fn slug(text: &str) -> Result<(), ValidationError> {
    LeaderboardId::parse(text).map(drop).map_err(|InvalidId(message)| broken("format", message))
}

/// The texts are ids of leaderboards, each once.
pub fn distinct_slugs(ids: &[String]) -> Result<(), ValidationError> {
    ids.iter().try_for_each(|id| slug(id))?;
    let repeated = ids.iter().enumerate().any(|(index, id)| ids[..index].contains(id));
    if repeated { Err(broken("duplicate", "must name each leaderboard once")) } else { Ok(()) }
}

/// The text is a user's id, and the user may be new.
pub fn user_id(text: &str) -> Result<(), ValidationError> {
    UserId::parse_new(text).map(drop).map_err(|InvalidId(message)| broken("format", message))
}

/// The text can be a name; its length, and whether it may be empty, are rules of their own.
pub fn name(text: &str) -> Result<(), ValidationError> {
    if text.is_empty() { Ok(()) } else { text::check_name(text).map_err(|message| broken("format", message)) }
}

/// The text has no control characters but tabs and line breaks.
pub fn lines_of_text(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(broken("format", "must not contain control characters other than tabs and line breaks"));
    }
    Ok(())
}

/// The object takes at most this many bytes when written as JSON.
pub fn json_size(object: &Map<String, Value>, limit: usize) -> Result<(), ValidationError> {
    let size = serde_json::to_string(object).map_or(usize::MAX, |text| text.len());
    if size > limit { Err(broken("size", format!("must take at most {limit} bytes as JSON"))) } else { Ok(()) }
}

/// Accepts a field that may be absent, but not null; goes with `#[serde(default)]`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Accepts one word of several, which may be absent; goes with `#[serde(default)]`. By itself serde accepts an object as well,
/// and reports anything else as invalid JSON.
pub fn word<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let word = String::deserialize(deserializer)?;
    T::deserialize(word.into_deserializer()).map(Some)
}

/// Distinguishes a field that is null (`Some(None)`) from one that is absent (`None`); goes with `#[serde(default)]`.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// As [`nullable`], for a field that holds an object.
pub fn nullable_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|object| Some(object.map(|Object(value)| value)))
}
