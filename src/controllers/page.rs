//! The live page, served from the binary.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// Nothing but the page's own files may run or load, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(content_type: &'static str, content: &'static str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// `GET /`
pub async fn index() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/index.html"))
}

/// `GET /assets/app.js`
pub async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/app.js"))
}

/// `GET /assets/app.css`
pub async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../page/app.css"))
}

/// `GET /assets/favicon.svg`
pub async fn icon() -> Response {
    file("image/svg+xml", include_str!("../page/favicon.svg"))
}
