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

/// How often buckets that are full again are forgotten: the store never shrinks by itself.
const SWEEP: Duration = Duration::from_secs(60);

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Of a token's subject.
    Subject(Arc<str>),
    /// Of callers without a token, by their address.
    Address(IpAddr),
}

/// Tells callers apart. Runs inside the authentication layer.
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

/// The buckets.
#[derive(Clone)]
pub struct RateLimit(Arc<Config>);

impl RateLimit {
    /// So many requests a second in the long run, so many at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let period = Duration::from_secs(1) / per_second.get();
        let mut builder = GovernorConfigBuilder::default().key_extractor(ByCaller);
        let config = builder.period(period.max(Duration::from_nanos(1))).burst_size(burst.get()).finish();
        Self(Arc::new(config.expect("neither the period nor the burst is zero")))
    }

    /// The layer that refuses with 429.
    pub fn layer(&self) -> GovernorLayer<ByCaller, NoOpMiddleware, Body> {
        GovernorLayer::new(Arc::clone(&self.0)).error_handler(|error| match error {
            // The wait is rounded down; whoever comes back then must not be refused again.
            GovernorError::TooManyRequests { wait_time, .. } => Problem::rate_limited(wait_time + 1).into_response(),
            _ => Problem::of_status(axum::http::StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        })
    }

    /// Whether this caller may send one more request now, which is charged where it may.
    pub fn admits(&self, bucket: &Bucket) -> bool {
        self.0.limiter().check_key(bucket).is_ok()
    }

    /// Forgets callers that are quiet, for as long as it is polled.
    pub async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.0.limiter().retain_recent();
            self.0.limiter().shrink_to_fit();
        }
    }
}
