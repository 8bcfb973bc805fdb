//! The layers around every handler, in order.

pub mod authentication;
pub mod observation;
pub mod problems;
pub mod rate_limit;
pub mod request_id;
pub mod shortcut;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures_util::future;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    util::{Either, Oneshot},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, Cors, CorsLayer},
    timeout::TimeoutLayer,
};

use tracing::Instrument;

use self::{observation::Observation, request_id::RequestId, shortcut::Shortcut};
use crate::{controllers::problem::Problem, services::error::ServiceError};

/// How long an ordinary request may take. Streams begin within it and then last.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server serves: everything, with the layers around it.
pub type Front = Either<Cors<Entrance>, Entrance>;

/// Puts the layers around the whole router, outermost first: CORS (outside, so that pages of other origins can read problem documents as well), the
/// shortcut, the edge, panics, time-out, compression (which leaves event streams alone).
pub fn wrap(router: Router, shortcut: Option<Shortcut>, cors_origins: &[String]) -> Front {
    let stack = ServiceBuilder::new()
        .layer(axum::middleware::from_fn(edge))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            axum::response::IntoResponse::into_response(Problem::from(ServiceError::Internal("panic".into())))
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CompressionLayer::new());
    let entrance = Entrance { shortcut: shortcut.map(Arc::new), router: router.layer(stack) };
    match cors(cors_origins) {
        Some(cors) => Either::Left(cors.layer(entrance)),
        None => Either::Right(entrance),
    }
}

/// Where a request takes the shortcut or goes to the router.
#[derive(Clone)]
pub struct Entrance {
    shortcut: Option<Arc<Shortcut>>,
    router: Router,
}

impl Service<Request> for Entrance {
    type Response = Response;
    type Error = Infallible;
    type Future = future::Either<Ready<Result<Response, Infallible>>, Oneshot<Router, Request>>;

    /// A router is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.shortcut.as_ref().and_then(|shortcut| shortcut.answer(&request)) {
            Some(response) => future::Either::Left(ready(Ok(response))),
            None => future::Either::Right(self.router.clone().oneshot(request)),
        }
    }
}

/// What happens to every request, outermost first: its id, its log line and measurement, security headers, problem documents. One layer and not
/// four, because each layer costs a request as much as parsing its body.
async fn edge(mut request: Request, next: Next) -> Response {
    let id = request_id::identify(&mut request);
    let observation = Observation::begin(&request, &id);
    let response = next.run(request).instrument(observation.span()).await;
    let mut response = problems::finish(&id, response);
    finish(&id, &mut response);
    observation.end(&response);
    response
}

/// An answer from outside the router, to a request with these headers.
pub fn refuse(problem: &Problem, headers: &HeaderMap) -> Response {
    let id = RequestId::of(headers);
    let mut response = problem.respond(id.as_str());
    finish(&id, &mut response);
    response
}

/// The headers of every answer.
fn finish(id: &RequestId, response: &mut Response) {
    for (name, value) in SECURITY {
        response.headers_mut().entry(name).or_insert(value);
    }
    id.put_into(response);
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
