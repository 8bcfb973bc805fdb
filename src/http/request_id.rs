//! A name for each request, in the answer, in problem documents and in the log.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id: the client's own `X-Request-Id` where it is 1–64 letters, digits, `-`, `_` or `.`, else a random one.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).filter(|id| acceptable(id.as_bytes()));
        Self(given.cloned().unwrap_or_else(random))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Names the response like its request.
    pub fn put_into(&self, response: &mut Response) {
        response.headers_mut().insert(HEADER, self.0.clone());
    }
}

/// Gives the request its id.
pub fn identify(request: &mut Request) -> RequestId {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    id
}

fn random() -> HeaderValue {
    let mut text = uuid::Uuid::encode_buffer();
    let id = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(id).expect("hexadecimal digits and hyphens")
}

fn acceptable(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
