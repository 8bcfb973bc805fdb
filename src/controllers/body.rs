//! JSON request bodies: parsed and checked, or refused with every broken field named.

use std::{fmt, marker::PhantomData};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::{
    domain::ids::{InvalidId, LeaderboardId, UserId},
    services::error::{FieldError, ServiceError},
};

use super::problem::Problem;

/// Largest body of an ordinary request, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;
/// Largest body of a batch, in bytes.
pub const BATCH_BODY_LIMIT: usize = 1024 * 1024;

/// A checked request body. 415 where it is not declared as JSON, 413 where it is too large, 400 where it is not JSON, 422 where it breaks a rule.
pub struct Json<T, const LIMIT: usize = BODY_LIMIT>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate, const LIMIT: usize> FromRequest<S> for Json<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::too_large(LIMIT)
            }
            _ => Problem::not_json("the body could not be read to its end"),
        })?;
        parse(&bytes).map(Self)
    }
}

/// JSON text as a checked value.
pub fn parse<T: DeserializeOwned + Validate>(text: &[u8]) -> Result<T, Problem> {
    let value: T = match serde_json::from_slice(text) {
        Ok(Object(value)) => value,
        // Read again, now keeping count of where it is, to tell what is wrong.
        Err(_) => explained(text)?,
    };
    value.validate().map_err(|errors| {
        let mut fields = Vec::new();
        flatten("", &errors, &mut fields);
        Problem::from(ServiceError::Invalid(fields))
    })?;
    Ok(value)
}

fn explained<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Object(value): Object<T> = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refuse(&error, text))?;
    deserializer.end().map_err(|error| Problem::not_json(error.to_string()))?;
    Ok(value)
}

/// A structure written as a JSON object: by itself serde takes an array of its fields as well.
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

fn refuse(error: &serde_path_to_error::Error<serde_json::Error>, text: &[u8]) -> Problem {
    if !error.inner().is_data() {
        return Problem::not_json(error.inner().to_string());
    }
    // A broken rule may stand in front of what is no JSON.
    let all = std::str::from_utf8(text).map_err(|error| error.to_string());
    let all = all.and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string()));
    if let Err(reason) = all {
        return Problem::not_json(reason);
    }
    // serde_json appends " at line 1 column 9", which says nothing beside the field's name.
    let text = error.inner().to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let path = error.path().to_string();
    let parent = if path == "." { String::new() } else { format!("{path}.") };
    let (field, code) = match (missing, unknown) {
        (Some(name), _) => (format!("{parent}{name}"), "required"),
        // The path of an unknown field ends with the field itself.
        (_, Some(name)) => (if path == "." { name.to_owned() } else { path }, "unknown-field"),
        _ => (if path == "." { "body".to_owned() } else { path }, "type"),
    };
    ServiceError::invalid(field, code, message).into()
}

/// validator's errors carry the refused values and Rust's field names; clients get neither.
fn flatten(prefix: &str, errors: &ValidationErrors, fields: &mut Vec<FieldError>) {
    for (name, kind) in errors.errors() {
        let field = match (prefix, name.as_ref()) {
            // A rule about the object as a whole.
            ("", "__all__") => "body".to_owned(),
            (prefix, "__all__") => prefix.to_owned(),
            ("", name) => camel_case(name),
            (prefix, name) => format!("{prefix}.{}", camel_case(name)),
        };
        match kind {
            ValidationErrorsKind::Field(errors) => fields.extend(errors.iter().map(|error| field_error(&field, error))),
            ValidationErrorsKind::Struct(errors) => flatten(&field, errors, fields),
            ValidationErrorsKind::List(errors) => {
                errors.iter().for_each(|(index, errors)| flatten(&format!("{field}[{index}]"), errors, fields));
            }
        }
    }
    fields.sort_by(|a, b| a.field.cmp(&b.field));
}

fn field_error(field: &str, error: &ValidationError) -> FieldError {
    let bound = |name: &str| error.params.get(name).map(Value::to_string);
    let code = match &*error.code {
        "length" => "length",
        "range" => "range",
        "required" => "required",
        "url" => "url",
        "format" => "format",
        "size" => "size",
        "duplicate" => "duplicate",
        "unsupported" => "unsupported",
        _ => "invalid",
    };
    let message = match (&error.message, bound("min"), bound("max")) {
        (Some(message), _, _) => message.to_string(),
        (None, Some(min), Some(max)) if code == "length" => format!("must have between {min} and {max} of them"),
        (None, Some(min), Some(max)) => format!("must be between {min} and {max}"),
        (None, None, Some(max)) => format!("must be at most {max}"),
        (None, Some(min), None) => format!("must be at least {min}"),
        (None, None, None) => "is not valid".to_owned(),
    };
    FieldError::new(field, code, message)
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

/// A broken rule with its explanation.
pub fn broken(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> ValidationError {
    ValidationError::new(code).with_message(message.into())
}

/// The text is a leaderboard's or an action's id.
pub fn slug(text: &str) -> Result<(), ValidationError> {
    LeaderboardId::parse(text).map(drop).map_err(|InvalidId(message)| broken("format", message))
}

/// The text is a user's id.
pub fn user_id(text: &str) -> Result<(), ValidationError> {
    UserId::parse(text).map(drop).map_err(|InvalidId(message)| broken("format", message))
}

/// The text has no control characters and is not blank; whether it may be empty is a rule of its length.
pub fn plain_text(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(char::is_control) {
        return Err(broken("format", "must not contain control characters"));
    }
    if !text.is_empty() && text.trim().is_empty() {
        return Err(broken("format", "must not be blank"));
    }
    Ok(())
}

/// The text has no control characters but tabs and line breaks.
pub fn lines_of_text(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(broken("format", "must not contain control characters other than tabs and line breaks"));
    }
    Ok(())
}

/// The object takes so many bytes at the most when written as JSON.
pub fn json_size(object: &Map<String, Value>, limit: usize) -> Result<(), ValidationError> {
    let size = serde_json::to_string(object).map_or(usize::MAX, |text| text.len());
    if size > limit { Err(broken("size", format!("must take at most {limit} bytes as JSON"))) } else { Ok(()) }
}

/// Takes a field that may be left out, but may not be null; goes with `#[serde(default)]`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Tells a field that is null (`Some(None)`) from one that is absent (`None`); goes with `#[serde(default)]`.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// As [`nullable`], for a field that holds an object.
pub fn nullable_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|object| Some(object.map(|Object(value)| value)))
}
