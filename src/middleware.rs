//! The layers around every handler, in order.

pub mod authentication;
pub mod cors;
pub mod fast_path;
pub mod in_band;
pub mod observation;
pub mod problems;
pub mod rate_limit;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures_util::future::{self, FutureExt};
use tower::{Service, ServiceBuilder, ServiceExt, util::Oneshot};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, timeout::TimeoutLayer};

use tracing::Instrument;

pub use self::cors::Front;
use self::{
    cors::Cors,
    fast_path::{Answer, FastPath},
    observation::Observation,
};
use crate::{
    http::{
        problem::Problem,
        request_id::{self, RequestId},
        site::Framed,
    },
    services::error::ServiceError,
};

/// How long an ordinary request may take. Streams begin within it and then last.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Puts the layers around the whole router, outermost first: CORS (outermost, so that pages of other origins can read problem
/// documents as well), the fast path, the edge, panics, time-out, compression (which leaves event streams alone).
pub fn wrap(router: Router, fast_path: Option<FastPath>, cors: Option<&Cors>) -> Front {
    let stack = ServiceBuilder::new()
        .layer(axum::middleware::from_fn(edge))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            axum::response::IntoResponse::into_response(Problem::from(ServiceError::Internal("panic".into())))
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CompressionLayer::new());
    let entrance = Entrance { fast_path: fast_path.map(Arc::new), router: router.layer(stack) };
    Front::new(entrance, cors)
}

/// An answer that bypasses the router.
type Past = future::Either<
    Ready<Result<Response, Infallible>>,
    future::Map<Pin<Box<dyn Future<Output = Response> + Send>>, fn(Response) -> Result<Response, Infallible>>,
>;

/// Sends a request to the fast path or to the router.
#[derive(Clone)]
pub struct Entrance {
    fast_path: Option<Arc<FastPath>>,
    router: Router,
}

impl Service<Request> for Entrance {
    type Response = Response;
    type Error = Infallible;
    type Future = future::Either<Past, Oneshot<Router, Request>>;

    /// A router is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.fast_path.as_ref().and_then(|fast_path| fast_path.answer(&request)) {
            Some(Answer::Now(response)) => future::Either::Left(future::Either::Left(ready(Ok(response)))),
            Some(Answer::Soon(response)) => {
                future::Either::Left(future::Either::Right(response.map(Ok as fn(Response) -> Result<Response, Infallible>)))
            }
            None => future::Either::Right(self.router.clone().oneshot(request)),
        }
    }
}

/// What happens to every request, outermost first: its id, its log line and measurement, security headers, problem documents.
/// One layer and not four, because each layer costs a request as much as parsing its body.
async fn edge(mut request: Request, next: Next) -> Response {
    let id = request_id::identify(&mut request);
    let observation = Observation::begin(&request, &id);
    let response = next.run(request).instrument(observation.span()).await;
    let mut response = problems::finish(&id, response);
    finish(&id, &mut response);
    observation.end(&response);
    response
}

/// An answer from outside the router to a request with these headers.
pub fn refuse(problem: &Problem, headers: &HeaderMap) -> Response {
    let id = RequestId::of(headers);
    let mut response = problem.respond(id.as_str());
    finish(&id, &mut response);
    response
}

/// The headers of every answer.
fn finish(id: &RequestId, response: &mut Response) {
    let framed = response.extensions().get::<Framed>().is_some();
    for (name, value) in SECURITY {
        if framed && name == header::X_FRAME_OPTIONS {
            continue;
        }
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
