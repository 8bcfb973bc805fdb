//! The circuit breaker in front of a store: one that hangs costs one time-out, not one for every call. Redis and PostgreSQL have one each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// How long until an unanswered probe is followed by the next one.
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// Open from a call's time-out until the store answers a probe; meanwhile calls are refused at once.
pub(super) struct Breaker {
    store: &'static str,
    /// How much time a call has to have had for its time-out to say anything about the store. One that waited long for its turn has
    /// little left, and speaks only of the crowd.
    fair: Duration,
    open: AtomicBool,
    tripped: Notify,
}

impl Breaker {
    pub fn new(store: &'static str, fair: Duration) -> Arc<Self> {
        Arc::new(Self { store, fair, open: AtomicBool::new(false), tripped: Notify::new() })
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A call got no answer in the time that it was given.
    pub fn timed_out(&self, given: Duration) {
        if given < self.fair {
            return;
        }
        if !self.open.swap(true, Ordering::AcqRel) {
            tracing::warn!(store = self.store, "no answer: calls are refused until there is one");
            metrics::counter!("scoreboard_breaker_trips_total", "store" => self.store).increment(1);
        }
        self.tripped.notify_one();
    }

    /// The store answers.
    pub fn close(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::info!(store = self.store, "it answers again");
        }
    }

    /// Asks an open breaker's store for a sign of life until there is one, for as long as it is polled. `answers` has a time-out of its own.
    pub async fn probe<F: Future<Output = bool>>(self: Arc<Self>, answers: impl Fn() -> F) {
        loop {
            // Looked at first: whoever goes on where another probe broke off finds it open, and nobody trips an open breaker.
            while self.is_open() {
                if answers().await { self.close() } else { tokio::time::sleep(PROBE_PAUSE).await }
            }
            self.tripped.notified().await;
            // Only to panic at: nothing of this can fail.
            crate::failpoints::fails("breaker-tripped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_had_its_time_trips_the_breaker() {
        let breaker = Breaker::new("a store", Duration::from_millis(500));
        for given in [1, 499] {
            breaker.timed_out(Duration::from_millis(given));
            assert!(!breaker.is_open(), "after {given} ms");
        }
        breaker.timed_out(Duration::from_millis(500));
        assert!(breaker.is_open());
        breaker.close();
        assert!(!breaker.is_open());
    }
}
