//! A name for each request, in the answer, in problem documents and in the log.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    response::Response,
};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id: the client's own `X-Request-Id` where it is 1–64 letters, digits, `-`, `_` or `.`, else a random one.
#[derive(Debug, Clone)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names the response like its request.
    pub fn put_into(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(HEADER, value);
        }
    }
}

/// Gives the request its id.
pub fn identify(request: &mut Request) -> RequestId {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| acceptable(id));
    let id = RequestId(given.map_or_else(random, Into::into));
    request.extensions_mut().insert(id.clone());
    id
}

fn random() -> Arc<str> {
    Arc::from(&*uuid::Uuid::new_v4().hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
}

fn acceptable(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
