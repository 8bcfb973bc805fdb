//! The result of one run: a table for whoever looks, JSON for what compares.

use std::{collections::BTreeMap, fmt, fs::File, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{latency::Quantiles, processes::Cost};

/// What was run, how it was set, and what came out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub scenario: String,
    pub settings: BTreeMap<String, Value>,
    pub seconds: f64,
    /// Scores, reads or deliveries.
    pub operations: u64,
    pub per_second: f64,
    /// Requests that failed, by status or by what broke.
    pub failed: BTreeMap<String, u64>,
    pub latency_ms: Option<Quantiles>,
    pub processes: Vec<Cost>,
    /// Whatever else a scenario has to say.
    pub figures: BTreeMap<String, f64>,
}

impl Report {
    /// Notes how the run was set.
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Notes one more figure.
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), value);
        self
    }

    /// Prints the table and writes the JSON where that is wanted.
    pub fn publish(&self, json: Option<&Path>) -> anyhow::Result<()> {
        print!("{self}");
        if let Some(path) = json {
            serde_json::to_writer_pretty(File::create(path)?, self)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "{} ({})", self.scenario, settings.join(", "))?;
        writeln!(f, "    {:.0}/s: {} in {:.1} s", self.per_second, self.operations, self.seconds)?;
        for (reason, count) in &self.failed {
            writeln!(f, "    FAILED {count} × {reason}")?;
        }
        if let Some(Quantiles { mean, p50, p90, p95, p99, p999, max }) = &self.latency_ms {
            write!(f, "    ms: p50 {p50:.2}  p90 {p90:.2}  p95 {p95:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2}")?;
            writeln!(f, "  mean {mean:.2}")?;
        }
        for cost in &self.processes {
            write!(f, "    {:<10} {:>6.2} s CPU, {:>7.2} µs each", cost.name, cost.cpu_seconds, cost.cpu_micros_per_operation)?;
            writeln!(f, ", RSS {:.1} MiB ({:+.1})", cost.rss_mib, cost.rss_growth_mib)?;
        }
        for (name, value) in &self.figures {
            writeln!(f, "    {name}: {value:.2}")?;
        }
        Ok(())
    }
}
