//! Query and path parameters.

use std::{fmt::Display, ops::RangeInclusive};

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;

use crate::domain::{ids::Noun, leaderboard::Projection};
use crate::{
    http::problem::Problem,
    services::error::{FieldError, ServiceError},
};

use super::whole;

/// The query, read field by field; errors are collected and reported together by [`Params::finish`].
pub struct Params {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut params = Self { pairs, errors: Vec::new() };
        if let Some(name) = params.ambiguous() {
            params.refuse(&name, "repeated", "is there more than once");
        }
        Ok(params)
    }
}

/// The cursor of a page that goes on after what these bytes tell.
pub fn next_cursor(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Params {
    /// A parameter with several different values, which is ambiguous. Clients that reconnect may append their position to an
    /// address that contains one already: see [`Self::last`].
    fn ambiguous(&self) -> Option<String> {
        let differs = |name: &str, value: &str| self.text(name).is_some_and(|first| first != value) && name != "lastEventId";
        self.pairs.iter().find(|(name, value)| differs(name, value)).map(|(name, _)| name.clone())
    }

    /// A parameter's text; `None` if it is absent. An empty one is present, and rarely valid.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same, the last one of several.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within a range, or the default.
    pub fn number<N: TryFrom<i64> + PartialOrd + Display + Copy>(
        &mut self,
        name: &str,
        range: RangeInclusive<N>,
        default: N,
    ) -> N {
        let Some(text) = self.text(name) else { return default };
        match whole::parse(text).and_then(|number| N::try_from(number).ok()) {
            Some(number) if range.contains(&number) => number,
            _ => {
                let message = format!("must be a whole number between {} and {}", range.start(), range.end());
                self.errors.push(FieldError::new(name, "range", message));
                default
            }
        }
    }

    /// The bytes of a cursor that [`next_cursor`] made, if the parameter is present.
    pub fn cursor<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.parsed("cursor", |text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or_else(|| "must be a nextCursor of this server".to_owned())
        })
    }

    /// A parsed value, if the parameter is present.
    pub fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(name, "format", message);
                None
            }
        }
    }

    /// What of a leaderboard's data is asked for.
    pub fn projection(&mut self) -> Projection {
        let named = |name: &str| Projection::named(name).ok_or_else(|| "must be public, own or restricted".to_owned());
        self.parsed("projection", named).unwrap_or_default()
    }

    /// Notes that a parameter is invalid.
    pub fn refuse(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(name, code, message));
    }

    /// Refuses the request if any parameter was invalid.
    pub fn finish(self) -> Result<(), ServiceError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(self.errors)) }
    }
}

/// Path segments, percent-decoded. A segment that cannot be decoded is not found.
pub struct Segments<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments)).map_err(|_| ServiceError::NotFound(Noun::Resource).into())
    }
}
