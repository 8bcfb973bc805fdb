//! Pages of other origins (CORS). Allowed origins may send tokens and make changes; others may read public data, without
//! credentials.
//!
//! No cookies are involved, so "credentials" are a token: in a header, for which a browser sends a preflight request, or in a
//! stream's URL, for which it does not. Requests that do not come from a page, which are nearly all, pass through.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
    response::Response,
};
use futures_util::future;
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{Entrance, authentication::token_in_query};
use crate::config::origins::Origins;

/// How long a browser may cache a preflight response.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Which origins may do what.
pub struct Cors(CorsLayer);

impl Cors {
    /// `allowed` may do everything, `public_read` what `is_public_read` says.
    pub fn new(allowed: Origins, public_read: Origins) -> Self {
        let readable = [header::ETAG, header::LOCATION, header::RETRY_AFTER].into_iter();
        let readable = readable.chain(["cache-status", "idempotency-replayed", "x-request-id"].map(HeaderName::from_static));
        let origins = Arc::new((allowed, public_read));
        let may = move |origin: &HeaderValue, request: &Parts| {
            let (allowed, public_read) = &*origins;
            let origin = origin.as_bytes();
            allowed.contain(origin) || (public_read.contain(origin) && is_public_read(request))
        };
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(may))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            // Tracing and monitoring add headers of their own to a page's requests.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(readable.collect::<Vec<_>>())
            .max_age(REMEMBERED);
        Self(layer)
    }
}

/// Whether this is, or is a preflight for, a request that reads public data and carries no token.
fn is_public_read(request: &Parts) -> bool {
    let asked = request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|_| request.method == Method::OPTIONS);
    let method = asked.map_or(request.method.as_str().as_bytes(), HeaderValue::as_bytes);
    let path = request.uri.path();
    let reads = match method {
        b"GET" | b"HEAD" => path.starts_with("/api/"),
        // A query that is too long for a URL.
        b"POST" => path.starts_with("/api/leaderboards/") && path.ends_with("/entries/query"),
        _ => false,
    };
    reads && !shows_token(&request.headers) && token_in_query(&request.uri).is_none()
}

fn shows_token(headers: &HeaderMap) -> bool {
    let asks_to = |value: &HeaderValue| {
        let names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.into_iter().any(|name| name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str().as_bytes()))
    };
    headers.contains_key(header::AUTHORIZATION) || headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().any(asks_to)
}

/// The whole service: everything, with the layers around it.
#[derive(Clone)]
pub struct Front {
    entrance: Entrance,
    of_pages: Option<tower_http::cors::Cors<Entrance>>,
}

impl Front {
    pub(super) fn new(entrance: Entrance, cors: Option<&Cors>) -> Self {
        Self { of_pages: cors.map(|Cors(layer)| layer.layer(entrance.clone())), entrance }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = <Entrance as Service<Request>>::Error;
    type Future =
        future::Either<<tower_http::cors::Cors<Entrance> as Service<Request>>::Future, <Entrance as Service<Request>>::Future>;

    /// A router is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let headers = request.headers();
        let of_page = headers.contains_key(header::ORIGIN)
            && (request.method() != Method::OPTIONS || headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD));
        match self.of_pages.as_mut().filter(|_| of_page) {
            Some(of_pages) => future::Either::Left(of_pages.call(request)),
            None => future::Either::Right(self.entrance.call(request)),
        }
    }
}
