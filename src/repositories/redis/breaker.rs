//! The circuit breaker in front of Redis: a server that hangs costs one time-out, not one for every call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{Value, config::Options},
};
use tokio::sync::Notify;

/// How long a probe waits for its answer, and how long until the next one.
const PROBE_WITHIN: Duration = Duration::from_millis(500);
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// How much time a call has to have had for its time-out to say anything about the server. One that waited long for its permit has
/// little left, and speaks only of the crowd.
const FAIR_TIME: Duration = Duration::from_millis(500);

/// Open from a call's time-out until the server answers a ping again; meanwhile calls are refused at once.
#[derive(Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    tripped: Notify,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A call got no answer in the time that it was given.
    pub(super) fn timed_out(&self, given: Duration) {
        if given < FAIR_TIME {
            return;
        }
        if !self.open.swap(true, Ordering::AcqRel) {
            tracing::warn!("Redis does not answer: serving from the ledger until it does");
            metrics::counter!("scoreboard_redis_breaker_trips_total").increment(1);
        }
        self.tripped.notify_one();
    }

    /// The server answers.
    pub(super) fn close(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::info!("Redis answers again");
        }
    }

    /// Closes the breaker when the server answers again, for as long as it is polled.
    pub(super) async fn probe(self: Arc<Self>, client: Client) {
        let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(PROBE_WITHIN), ..Options::default() };
        loop {
            self.tripped.notified().await;
            while self.is_open() {
                match client.with_options(&options).ping::<Value>(None).await {
                    Ok(_) => self.close(),
                    Err(_) => tokio::time::sleep(PROBE_PAUSE).await,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_had_its_time_trips_the_breaker() {
        let breaker = Breaker::default();
        for given in [1, 499] {
            breaker.timed_out(Duration::from_millis(given));
            assert!(!breaker.is_open(), "after {given} ms");
        }
        breaker.timed_out(FAIR_TIME);
        assert!(breaker.is_open());
        breaker.close();
        assert!(!breaker.is_open());
    }
}
