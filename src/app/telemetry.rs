//! The log and the metrics of the process.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Upper bounds of time histograms, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of histograms of counts, in pieces.
const SIZES: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// How often histogram samples are folded together; without it they accumulate until the metrics are read.
const UPKEEP: Duration = Duration::from_secs(5);

/// What a server logs unless `RUST_LOG` says otherwise.
pub const USUAL: &str = "info,fred=warn";

/// Sends the log to standard error, in colours on a terminal. `RUST_LOG` decides what is logged, else `usual`; a second call
/// changes nothing.
pub fn init_logging(format: LogFormat, usual: &str) -> anyhow::Result<()> {
    let asked =
        std::env::var_os("RUST_LOG").map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.trim().is_empty());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or(usual)).context("RUST_LOG is not understood")?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match format {
        LogFormat::Pretty => builder.try_init().ok(),
        LogFormat::Json => builder.json().flatten_event(true).try_init().ok(),
    };
    Ok(())
}

/// The metrics of this process, installed on the first call.
pub(super) fn metrics() -> anyhow::Result<PrometheusHandle> {
    // Locked while installing: the recorder is installed before its handle is stored, and a second server of this process may
    // start in between.
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut kept = HANDLE.lock();
    if let Some(handle) = &*kept {
        return Ok(handle.clone());
    }
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES)?;
    let handle = builder.install_recorder()?;
    super::metric_help::describe();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    metrics::gauge!("scoreboard_build_info", "version" => env!("CARGO_PKG_VERSION"), "profile" => profile).set(1.0);
    Ok(kept.insert(handle).clone())
}

/// Folds samples for as long as it is polled.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}
