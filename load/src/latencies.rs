//! Times, and what is said about them.

use std::time::Duration;

/// Measured times, in no order.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn record(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `p50 … p95 … p99 … max …`
    pub fn summary(mut self) -> String {
        self.0.sort_unstable();
        let at = |share: f64| self.0.get(((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1)));
        let of = |name: &str, share| format!("{name} {:.2?}", at(share).copied().unwrap_or_default());
        [of("p50", 0.50), of("p95", 0.95), of("p99", 0.99), of("max", 1.0)].join("  ")
    }
}
