//! The circuit breaker in front of a store: a store that hangs costs one time-out, not one per call. Redis and PostgreSQL have
//! one each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// How long to wait between an unanswered probe and the next one.
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// Open from a call's time-out until the store answers a probe; meanwhile calls are refused at once.
pub(super) struct Breaker {
    store: &'static str,
    /// How much time a call must have had for its time-out to say anything about the store. A call that waited long for its
    /// permit has little time left, and its time-out only says that there are many calls.
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

    /// A call got no answer within the given time.
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

    /// Probes an open breaker's store until it answers, for as long as it is polled. `answers` has a time-out of its own.
    pub async fn probe<F: Future<Output = bool>>(self: Arc<Self>, answers: impl Fn() -> F) {
        loop {
            // Checked first: a task that continues an interrupted probe finds the breaker open already, and an open breaker is
            // not tripped again.
            while self.is_open() {
                if answers().await { self.close() } else { tokio::time::sleep(PROBE_PAUSE).await }
            }
            self.tripped.notified().await;
            // A failpoint that can only panic: nothing here can fail.
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
