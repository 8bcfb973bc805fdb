//! Refuses a stream that the server cannot open at the moment inside the stream: a browser's EventSource gives up permanently
//! on any status but 200.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use crate::controllers::streams::busy;

/// Turns refusals that a later retry resolves into a `busy` event, whichever layer they come from. All others stay as they are:
/// a client that requests something that does not exist must not retry.
pub async fn refuse_in_band(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let response = next.run(request).await;
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS if is_get => busy("too many requests"),
        StatusCode::SERVICE_UNAVAILABLE if is_get => busy("the server cannot open a stream at the moment"),
        _ => response,
    }
}
