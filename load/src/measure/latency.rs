//! Latencies in an HDR histogram, from a microsecond to a minute with three digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Measured times. 100 KiB, however many there are: shared by the connections of a thread.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

/// What is told about them, in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Quantiles {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that a histogram can have"))
    }
}

impl Latencies {
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros() as u64);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn quantiles(&self) -> Quantiles {
        let at = |share| self.0.value_at_quantile(share) as f64 / 1000.0;
        Quantiles {
            mean: self.0.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_in_milliseconds() {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|millis| latencies.record(Duration::from_millis(millis)));
        let told = latencies.quantiles();
        assert!((told.p50 - 50.0).abs() < 0.1 && (told.p99 - 99.0).abs() < 0.1 && (told.max - 100.0).abs() < 0.1, "{told:?}");
        assert_eq!(latencies.count(), 100);
    }
}
