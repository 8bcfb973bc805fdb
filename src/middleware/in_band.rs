//! A stream that the server cannot open just now is refused inside the stream: a browser's EventSource gives up for ever on any status but 200.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use crate::controllers::streams::busy;

/// Turns refusals that coming back later mends into a `busy` event, whichever layer they come from. All others stay what they are: who asks for what
/// is not there is not to ask again.
pub async fn refuse_in_band(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let response = next.run(request).await;
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS if is_get => busy("too many requests"),
        StatusCode::SERVICE_UNAVAILABLE if is_get => busy("the server cannot open a stream at the moment"),
        _ => response,
    }
}
