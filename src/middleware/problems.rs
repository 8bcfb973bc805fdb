//! Finishes problem documents: every refusal, including the framework's own, is sent as `application/problem+json` with the
//! request's id.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use crate::http::{problem::Problem, request_id::RequestId};

/// Headers of the original answer that its problem document keeps.
const KEPT: [header::HeaderName; 3] = [header::ALLOW, header::RETRY_AFTER, header::CONNECTION];

/// Turns error responses into problem documents.
pub fn finish(id: &RequestId, response: Response) -> Response {
    let status = response.status();
    if let Some(problem) = response.extensions().get::<Problem>() {
        return keeping(response.headers(), problem.respond(id.as_str()));
    }
    let is_error = status.is_client_error() || status.is_server_error();
    // `/readyz` answers 503 with a body of its own, and people are shown pages.
    let own = |kind: &HeaderValue| kind == "application/json" || kind == "text/html; charset=utf-8";
    if !is_error || response.headers().get(header::CONTENT_TYPE).is_some_and(own) {
        return response;
    }
    let problem = if status == StatusCode::REQUEST_TIMEOUT { Problem::timed_out() } else { Problem::of_status(status) };
    keeping(response.headers(), problem.respond(id.as_str()))
}

fn keeping(from: &HeaderMap, mut response: Response) -> Response {
    let vary = from.get_all(header::VARY).iter().map(|value| (header::VARY, value.clone()));
    let kept = KEPT.into_iter().filter_map(|name| from.get(&name).map(|value| (name, value.clone())));
    for (name, value) in kept.chain(vary) {
        response.headers_mut().append(name, value);
    }
    response
}
