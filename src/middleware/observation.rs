//! One log line and one measurement per request.
//!
//! Paths are logged without their query, because `access_token` stands there; metrics are labelled by route, never by id.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use super::request_id::RequestId;

/// The method as a label. Anybody can make methods up, and a label that was seen once stays for good.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            method.as_str()
        }
        _ => "OTHER",
    }
}

/// Logs and measures; a stream counts until its headers.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let id = request.extensions().get::<RequestId>().cloned();
    let span = tracing::info_span!("request", id = id.as_ref().map_or("", RequestId::as_str));
    let response = next.run(request).instrument(span.clone()).await;
    let elapsed = started.elapsed();
    let status = response.status();
    let labels = [("method", known(&method).to_owned()), ("route", route), ("status", status.as_u16().to_string())];
    metrics::histogram!("http_request_duration_seconds", &labels).record(elapsed);
    let _inside = span.enter();
    if status.is_server_error() {
        tracing::warn!(%method, path, status = status.as_u16(), ?elapsed, "answered");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), ?elapsed, "answered");
    }
    response
}
