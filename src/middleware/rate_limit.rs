//! The rate limit of `/api`: one bucket per caller, the credential's subject or else the client's address. An API key with a limit of its own
//! has a bucket of its own size.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::Request,
    response::{IntoResponse, Response},
};
use futures_util::future::{self, Ready, ready};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _, middleware::NoOpMiddleware};
use parking_lot::RwLock;
use tower::{Layer, Service};
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{Governor, GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};

use crate::{
    domain::{
        api_key::KeyRate,
        caller::{Caller, KeyUse},
        ids::KeyId,
    },
    http::{caller::ClientAddress, problem::Problem},
};

/// How often full buckets are removed: the store never shrinks by itself.
const SWEEP: Duration = Duration::from_secs(60);

/// The owner of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// The subject of a token.
    Subject(Arc<str>),
    /// A caller without a token, by address.
    Address(IpAddr),
}

/// Distinguishes callers. Runs inside the authentication layer.
#[derive(Debug, Clone)]
pub struct ByCaller;

impl KeyExtractor for ByCaller {
    type Key = Bucket;

    fn name(&self) -> &'static str {
        "caller"
    }

    fn extract<T>(&self, request: &Request<T>) -> Result<Bucket, GovernorError> {
        let caller = request.extensions().get::<Caller>();
        let address = request.extensions().get::<ClientAddress>().ok_or(GovernorError::UnableToExtractKey)?;
        Ok(match caller.and_then(Caller::principal) {
            Some(principal) => Bucket::Subject(Arc::clone(&principal.subject)),
            None => Bucket::Address(address.0),
        })
    }
}

type Config = GovernorConfig<ByCaller, NoOpMiddleware>;

/// The buckets of API keys with limits of their own. One for each such key that was used lately.
type KeyBuckets = RwLock<HashMap<KeyId, (KeyRate, Arc<DefaultDirectRateLimiter>)>>;

/// All buckets.
#[derive(Clone)]
pub struct RateLimit {
    callers: Arc<Config>,
    keys: Arc<KeyBuckets>,
}

impl RateLimit {
    /// This many requests per second in the long run, this many at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let period = Duration::from_secs(1) / per_second.get();
        let mut builder = GovernorConfigBuilder::default().key_extractor(ByCaller);
        let config = builder.period(period.max(Duration::from_nanos(1))).burst_size(burst.get()).finish();
        Self { callers: Arc::new(config.expect("neither the period nor the burst is zero")), keys: Arc::default() }
    }

    /// The layer that refuses with 429.
    pub fn layer(&self) -> RateLimitLayer {
        let callers = GovernorLayer::new(Arc::clone(&self.callers)).error_handler(|error| match error {
            // The wait is rounded down; a client that returns after it must not be refused again.
            GovernorError::TooManyRequests { wait_time, .. } => Problem::rate_limited(wait_time + 1).into_response(),
            _ => Problem::of_status(axum::http::StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        });
        RateLimitLayer { callers, limit: self.clone() }
    }

    /// Charges a request of a key with a limit of its own; or the seconds to wait.
    fn charge(&self, id: &KeyId, rate: KeyRate) -> Result<(), u64> {
        let known = self.keys.read().get(id).filter(|(of, _)| *of == rate).map(|(_, bucket)| Arc::clone(bucket));
        let bucket = known.unwrap_or_else(|| {
            let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
            let bucket = Arc::new(RateLimiter::direct(quota));
            self.keys.write().insert(id.clone(), (rate, Arc::clone(&bucket)));
            bucket
        });
        bucket.check().map_err(|not_until| not_until.wait_time_from(bucket.clock().now()).as_secs() + 1)
    }

    /// Whether this caller may send one more request now; if so, the request is charged.
    pub fn admits(&self, bucket: &Bucket) -> bool {
        self.callers.limiter().check_key(bucket).is_ok()
    }

    /// Removes the buckets of inactive callers, for as long as it is polled.
    pub async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.callers.limiter().retain_recent();
            self.callers.limiter().shrink_to_fit();
            // A bucket that nobody has used for a while is full, and can be made again.
            self.keys.write().retain(|_, (rate, bucket)| bucket.check_n(rate.burst).is_ok_and(|enough| enough.is_err()));
        }
    }
}

/// See [`RateLimit::layer`].
#[derive(Clone)]
pub struct RateLimitLayer {
    callers: GovernorLayer<ByCaller, NoOpMiddleware, Body>,
    limit: RateLimit,
}

impl<S: Clone> Layer<S> for RateLimitLayer {
    type Service = RateLimited<S>;

    fn layer(&self, inner: S) -> RateLimited<S> {
        RateLimited { callers: self.callers.layer(inner.clone()), inner, limit: self.limit.clone() }
    }
}

/// Charges each request to the bucket of its caller.
#[derive(Clone)]
pub struct RateLimited<S> {
    callers: Governor<ByCaller, NoOpMiddleware, S, Body>,
    inner: S,
    limit: RateLimit,
}

impl<S> Service<Request<Body>> for RateLimited<S>
where
    S: Service<Request<Body>, Response = Response>,
    Governor<ByCaller, NoOpMiddleware, S, Body>: Service<Request<Body>, Response = Response, Error = S::Error>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = future::Either<
        <Governor<ByCaller, NoOpMiddleware, S, Body> as Service<Request<Body>>>::Future,
        future::Either<S::Future, Ready<Result<Response, S::Error>>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        futures_util::ready!(self.callers.poll_ready(context))?;
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let principal = request.extensions().get::<Caller>().and_then(Caller::principal);
        let Some(KeyUse { id, rate: Some(rate), .. }) = principal.and_then(|principal| principal.key()) else {
            return future::Either::Left(self.callers.call(request));
        };
        future::Either::Right(match self.limit.charge(id, *rate) {
            Ok(()) => future::Either::Left(self.inner.call(request)),
            Err(wait) => future::Either::Right(ready(Ok(Problem::rate_limited(wait).into_response()))),
        })
    }
}
