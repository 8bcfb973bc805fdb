//! What came of the requests of one thread, or of all.

use std::{collections::BTreeMap, time::Duration};

use super::latency::Latencies;

/// Operations done, latencies of the requests that did them, and failures by their reason.
#[derive(Default)]
pub struct Tally {
    pub operations: u64,
    pub latencies: Latencies,
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a request: how many operations it did, or why it failed.
    pub fn record(&mut self, time: Duration, outcome: &Result<u64, String>) {
        match outcome {
            Ok(operations) => {
                self.operations += operations;
                self.latencies.record(time);
            }
            Err(reason) => *self.failed.entry(reason.clone()).or_default() += 1,
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.operations += other.operations;
        self.latencies.merge(&other.latencies);
        for (reason, count) in other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
    }
}
