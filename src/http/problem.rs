//! RFC 9457 problem documents: the only place that gives an error its HTTP status.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    domain::time::Timestamp,
    services::error::{FieldError, ServiceError},
};

/// Of how many fields the detail tells, one after the other.
const TOLD: usize = 3;

/// An error as clients see it. As a response it is finished by `middleware/problems.rs`, which adds the request's id.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    /// Until when a user is banned; `Some(None)`: for ever.
    until: Option<Option<Timestamp>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
    errors: Vec<ErrorView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Option<Timestamp>>,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    field: &'a str,
    code: &'a str,
    message: &'a str,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), errors: Vec::new(), retry_after: None, until: None }
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// What a bare status says.
    pub fn of_status(status: StatusCode) -> Self {
        let (kind, title) = match status {
            StatusCode::NOT_FOUND => ("not-found", "There is nothing here"),
            StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "This method is not offered here"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The body is too large"),
            StatusCode::URI_TOO_LONG => ("too-large", "The address is too long"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("too-large", "The headers are too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported-media-type", "The body has to be plain application/json"),
            StatusCode::REQUEST_TIMEOUT => ("timeout", "The request took too long"),
            StatusCode::TOO_MANY_REQUESTS => ("rate-limited", "Too many requests"),
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "The server cannot do this at the moment"),
            status if status.is_client_error() => ("bad-request", "The request cannot be understood"),
            _ => ("internal", "Something went wrong on our side"),
        };
        Self::new(status, kind, title, title)
    }

    /// The request took longer than the server gives it.
    pub fn timed_out() -> Self {
        Self::of_status(StatusCode::SERVICE_UNAVAILABLE).retry_after(1)
    }

    /// The body is not JSON.
    pub fn not_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not-json", "The body is not JSON", detail)
    }

    /// The body is compressed, or wrapped in another way.
    pub fn encoded() -> Self {
        let detail = "the body has a Content-Encoding; it has to be sent without one";
        Self { detail: detail.to_owned(), ..Self::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE) }
    }

    /// A header that has one value came with several.
    pub fn repeated_header(name: &str) -> Self {
        Self { detail: format!("the header {name} came more than once"), ..Self::of_status(StatusCode::BAD_REQUEST) }
    }

    /// The body is over this many bytes.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body is over {} KiB", limit / 1024);
        Self { detail, ..Self::of_status(StatusCode::PAYLOAD_TOO_LARGE) }
    }

    /// The caller's address has as many connections open as it may.
    pub fn too_many_connections() -> Self {
        let detail = "this address has as many connections open as it may";
        Self { detail: detail.into(), ..Self::of_status(StatusCode::SERVICE_UNAVAILABLE) }.retry_after(5)
    }

    /// The caller's rate limit is used up.
    pub fn rate_limited(wait_seconds: u64) -> Self {
        Self::of_status(StatusCode::TOO_MANY_REQUESTS).retry_after(wait_seconds)
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The JSON document.
    pub fn document(&self, request_id: &str) -> String {
        let errors = self.errors.iter().map(|error| ErrorView { field: &error.field, code: error.code, message: &error.message });
        let document = Document {
            r#type: format!("urn:scoreboard:problem:{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id,
            errors: errors.collect(),
            until: self.until,
        };
        serde_json::to_string(&document).expect("a problem always serialises")
    }

    /// The finished response.
    pub fn respond(&self, request_id: &str) -> Response {
        let mut response = Response::new(Body::from(self.document(request_id)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        use StatusCode as S;
        let detail = error.to_string();
        match error {
            ServiceError::Invalid(errors) => {
                let told = errors.iter().take(TOLD).map(|error| format!("{}: {}", error.field, error.message));
                let mut detail = told.collect::<Vec<_>>().join("; ");
                if errors.len() > TOLD {
                    detail = format!("{detail}; and {} more", errors.len() - TOLD);
                }
                Self { errors, ..Self::new(S::UNPROCESSABLE_ENTITY, "invalid", "Validation failed", detail) }
            }
            ServiceError::NotFound(_) => Self::new(S::NOT_FOUND, "not-found", "There is nothing here", detail),
            ServiceError::Taken => Self::new(S::CONFLICT, "taken", "This id is taken", detail),
            ServiceError::Closed(_) => Self::new(S::CONFLICT, "closed", "The leaderboard is closed", detail),
            ServiceError::Erased => Self::new(S::CONFLICT, "erased", "The user was erased", detail),
            ServiceError::NameLocked => Self::new(S::CONFLICT, "name-locked", "The name is locked", detail),
            ServiceError::Banned { until } => {
                Self { until: Some(until), ..Self::new(S::FORBIDDEN, "banned", "The user is banned", detail) }
            }
            ServiceError::Run { code, message } => {
                let errors = vec![FieldError::new("runToken", code, message)];
                Self { errors, ..Self::new(S::UNPROCESSABLE_ENTITY, code, "The run does not count", detail) }
            }
            ServiceError::RunUsed => {
                let errors = vec![FieldError::new("runToken", "run-used", "was used before with another body")];
                Self { errors, ..Self::new(S::CONFLICT, "run-used", "The run token was used", detail) }
            }
            ServiceError::RunsUnavailable => Self::new(S::CONFLICT, "runs-unavailable", "There are no runs here", detail),
            ServiceError::SeasonEnded { .. } => Self::new(S::CONFLICT, "season-ended", "The season has ended", detail),
            ServiceError::Conflict(_) => Self::new(S::CONFLICT, "conflict", "This can no longer be done", detail),
            ServiceError::Unauthenticated => {
                Self::new(S::UNAUTHORIZED, "unauthenticated", "A token is needed", "send Authorization: Bearer <token>")
            }
            ServiceError::InvalidToken(_) => Self::new(S::UNAUTHORIZED, "invalid-token", "The token is not accepted", detail),
            ServiceError::Forbidden(_) => Self::new(S::FORBIDDEN, "forbidden", "The token does not allow this", detail),
            ServiceError::WrongCredentials => {
                Self::new(S::UNAUTHORIZED, "wrong-credentials", "This is not the right login or password", detail)
            }
            ServiceError::LoginTaken => Self::new(S::CONFLICT, "login-taken", "This login is taken", detail),
            ServiceError::IdentityTaken => Self::new(S::CONFLICT, "identity-taken", "Another account has this", detail),
            ServiceError::Unconfirmed => {
                Self::new(S::SERVICE_UNAVAILABLE, "storage-unavailable", "Storage unavailable", detail).retry_after(1)
            }
            ServiceError::TooSoon { retry_after, detail } => {
                Self::new(S::TOO_MANY_REQUESTS, "too-soon", "Too soon", detail).retry_after(retry_after)
            }
            ServiceError::Overloaded => {
                Self::new(S::SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded", detail).retry_after(1)
            }
            ServiceError::NotYet => Self::new(S::SERVICE_UNAVAILABLE, "not-yet", "Not reached yet", detail).retry_after(1),
            ServiceError::LedgerAway(cause) => {
                tracing::warn!(%cause, "the ledger is out of reach");
                let detail = "the storage is unavailable; repeat with the same Idempotency-Key";
                Self::new(S::SERVICE_UNAVAILABLE, "storage-unavailable", "Storage unavailable", detail).retry_after(1)
            }
            ServiceError::Internal(reason) => {
                tracing::error!(reason, "internal error");
                Self::of_status(S::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_error_reveals_nothing() {
        let problem = Problem::from(ServiceError::Internal("SELECT secret FROM users".into()));
        assert!(!problem.document("r-1").contains("SELECT"));
        let problem = Problem::from(ServiceError::LedgerAway("password authentication failed".into()));
        assert!(!problem.document("r-1").contains("password"));
    }

    #[test]
    fn a_wait_is_never_zero() {
        let response = Problem::rate_limited(0).respond("r-1");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
