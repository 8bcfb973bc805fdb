//! One log line and one measurement per request.
//!
//! Paths are logged without their query, because it may contain `access_token`; metrics are labelled by route, never by id.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, Uri},
    response::Response,
};
use metrics::Histogram;
use tracing::Span;

use crate::http::request_id::RequestId;

/// The method as a label. Clients can invent methods, and a label that was once used stays permanently.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            method.as_str()
        }
        _ => "OTHER",
    }
}

/// The durations of requests of this kind.
pub fn histogram(method: &str, route: &str, status: &str) -> Histogram {
    let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_owned())];
    metrics::histogram!("http_request_duration_seconds", &labels)
}

/// Whether every request is logged.
pub fn is_logged() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// A request that is being served. A stream is measured up to its headers.
pub struct Observation {
    started: Instant,
    method: Method,
    path: Uri,
    route: Option<MatchedPath>,
    id: RequestId,
    span: Span,
}

impl Observation {
    pub fn begin(request: &Request, id: &RequestId) -> Self {
        Self {
            started: Instant::now(),
            method: request.method().clone(),
            path: request.uri().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            // Created only if this level is logged: a span costs about as much as the routing.
            span: tracing::debug_span!("request", id = id.as_str()),
            id: id.clone(),
        }
    }

    /// The span of the request's log lines.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Logs and measures the request.
    pub fn end(self, response: &Response) {
        let elapsed = self.started.elapsed();
        let status = response.status();
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        histogram(known(&self.method), route, status.as_str()).record(elapsed);
        let (id, method, path, status) = (self.id.as_str(), &self.method, self.path.path(), status.as_u16());
        if response.status().is_server_error() {
            tracing::warn!(id, %method, path, status, ?elapsed, "answered");
        } else {
            tracing::debug!(id, %method, path, status, ?elapsed, "answered");
        }
    }
}
