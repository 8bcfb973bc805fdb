//! The layers around every handler, in order.

pub mod authentication;
pub mod observation;
pub mod problems;
pub mod rate_limit;
pub mod request_id;

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};

use crate::{controllers::problem::Problem, services::error::ServiceError};

/// How long an ordinary request may take. Streams begin within it and then last.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Wraps the whole router, outermost layer first: request id, log and metrics, security headers, CORS (outside of the problem
/// documents, so that pages of other origins can read those as well), problem documents, panics, time-out, compression (which
/// leaves event streams alone).
pub fn wrap(router: Router, cors_origins: &[String]) -> Router {
    let stack = ServiceBuilder::new()
        .layer(axum::middleware::from_fn(request_id::identify))
        .layer(axum::middleware::from_fn(observation::observe))
        .layer(constant("x-content-type-options", "nosniff"))
        .layer(constant("referrer-policy", "no-referrer"))
        .layer(constant("x-frame-options", "DENY"))
        .layer(constant("cross-origin-opener-policy", "same-origin"))
        .option_layer(cors(cors_origins))
        .layer(axum::middleware::from_fn(problems::finish))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            axum::response::IntoResponse::into_response(Problem::from(ServiceError::Internal("panic".into())))
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CompressionLayer::new());
    router.layer(stack)
}

fn constant(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
}

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
