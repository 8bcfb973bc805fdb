//! The layers around every handler, in order.

pub mod authentication;
pub mod observation;
pub mod problems;
pub mod rate_limit;
pub mod request_id;

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
    timeout::TimeoutLayer,
};

use tracing::Instrument;

use self::observation::Observation;
use crate::{controllers::problem::Problem, services::error::ServiceError};

/// How long an ordinary request may take. Streams begin within it and then last.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Wraps the whole router, outermost layer first: CORS (outside, so that pages of other origins can read problem documents as well), the
/// edge, panics, time-out, compression (which leaves event streams alone).
pub fn wrap(router: Router, cors_origins: &[String]) -> Router {
    let stack = ServiceBuilder::new()
        .option_layer(cors(cors_origins))
        .layer(axum::middleware::from_fn(edge))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            axum::response::IntoResponse::into_response(Problem::from(ServiceError::Internal("panic".into())))
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CompressionLayer::new());
    router.layer(stack)
}

/// What happens to every request, outermost first: its id, its log line and measurement, security headers, problem documents. One layer and not
/// four, because each layer costs a request as much as parsing its body.
async fn edge(mut request: Request, next: Next) -> Response {
    let id = request_id::identify(&mut request);
    let observation = Observation::begin(&request, &id);
    let response = next.run(request).instrument(observation.span()).await;
    let mut response = problems::finish(&id, response);
    for (name, value) in SECURITY {
        response.headers_mut().entry(name).or_insert(value);
    }
    id.put_into(&mut response);
    observation.end(&response);
    response
}

const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// Lets pages of other origins call the API; none where no origin is named. No cookies are involved, so no credentials are.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    let sent = [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH].into_iter();
    let sent = sent.chain(["idempotency-key", "last-event-id", "x-request-id"].map(HeaderName::from_static));
    let read = [header::ETAG, header::LOCATION, header::RETRY_AFTER].into_iter();
    let read = read.chain(["cache-status", "idempotency-replayed", "x-request-id"].map(HeaderName::from_static));
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(sent.collect::<Vec<_>>())
            .expose_headers(read.collect::<Vec<_>>())
            .max_age(Duration::from_secs(3600)),
    )
}
