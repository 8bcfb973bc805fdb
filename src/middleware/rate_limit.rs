//! The rate limit of `/api`: one bucket per caller, the token's subject or else the client's address.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{body::Body, http::Request, response::IntoResponse};
use governor::middleware::NoOpMiddleware;
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};

use crate::{
    domain::caller::Caller,
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

/// All buckets.
#[derive(Clone)]
pub struct RateLimit(Arc<Config>);

impl RateLimit {
    /// This many requests per second in the long run, this many at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let period = Duration::from_secs(1) / per_second.get();
        let mut builder = GovernorConfigBuilder::default().key_extractor(ByCaller);
        let config = builder.period(period.max(Duration::from_nanos(1))).burst_size(burst.get()).finish();
        Self(Arc::new(config.expect("neither the period nor the burst is zero")))
    }

    /// The layer that refuses with 429.
    pub fn layer(&self) -> GovernorLayer<ByCaller, NoOpMiddleware, Body> {
        GovernorLayer::new(Arc::clone(&self.0)).error_handler(|error| match error {
            // The wait is rounded down; a client that returns after it must not be refused again.
            GovernorError::TooManyRequests { wait_time, .. } => Problem::rate_limited(wait_time + 1).into_response(),
            _ => Problem::of_status(axum::http::StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        })
    }

    /// Whether this caller may send one more request now; if so, the request is charged.
    pub fn admits(&self, bucket: &Bucket) -> bool {
        self.0.limiter().check_key(bucket).is_ok()
    }

    /// Removes the buckets of inactive callers, for as long as it is polled.
    pub async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.0.limiter().retain_recent();
            self.0.limiter().shrink_to_fit();
        }
    }
}
