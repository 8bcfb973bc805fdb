//! `plot`: what was measured as SVG, from the reports in a directory. Light or dark is the reader's choice, so lines and letters are middling.

mod chart;

use std::{fs, path::PathBuf};

use anyhow::ensure;
use clap::Args;

use crate::measure::{
    report::Report,
    rounds::{Spread, reports},
};
use chart::{Chart, Series};

/// From where to where.
#[derive(Args)]
pub struct PlotArgs {
    reports: PathBuf,
    /// The directory for the plots.
    plots: PathBuf,
}

/// The numbers of entries, watchers and instances that `load/bench` may have measured.
const ENTRIES: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const WATCHERS: [u64; 5] = [500, 1_000, 2_000, 5_000, 10_000];
const INSTANCES: [u64; 3] = [1, 2, 3];

/// A figure of a report.
type Pick = fn(&Report) -> Option<f64>;

/// Draws what there are reports for.
pub fn run(args: PlotArgs) -> anyhow::Result<()> {
    let scaling = |name: &str, steps: &[u64], figure: Pick| -> Vec<(f64, f64)> {
        let point = |step: &u64| Some((*step as f64, median(&args, &format!("{name}-{step}"), figure)?));
        steps.iter().filter_map(point).collect()
    };
    let rate = |report: &Report| Some(report.per_second);
    let p99 = |report: &Report| Some(report.latency_ms.as_ref()?.p99);
    let charts = [
        Chart {
            name: "percentiles",
            title: "Commit to receipt, by percentile",
            x: "percentile",
            y: "ms",
            series: [("ours-1000", "1,000 × 10/s"), ("reference-1000", "bare hyper"), ("node-watch", "Node")]
                .map(|(name, label)| Series { label, points: percentiles(&args, name) })
                .into(),
        },
        Chart {
            name: "watchers",
            title: "Commit to receipt, p99, by watchers (10 events/s)",
            x: "watchers",
            y: "ms",
            series: [("ours-watchers", "Scoreboard"), ("reference-watchers", "bare hyper"), ("node-watchers", "Node")]
                .map(|(name, label)| Series { label, points: scaling(name, &WATCHERS, p99) })
                .into(),
        },
        Chart {
            name: "entries",
            title: "Scores a second, by entries of the leaderboard",
            x: "entries",
            y: "scores/s",
            series: vec![Series { label: "Scoreboard", points: scaling("entries", &ENTRIES, rate) }],
        },
        Chart {
            name: "instances",
            title: "Scores a second, by instances on the same two cores",
            x: "instances",
            y: "scores/s",
            series: vec![Series { label: "Scoreboard", points: scaling("instances", &INSTANCES, rate) }],
        },
    ];
    fs::create_dir_all(&args.plots)?;
    let drawable: Vec<_> = charts.iter().filter(|chart| chart.series.iter().any(|series| series.points.len() > 1)).collect();
    ensure!(!drawable.is_empty(), "no report that could be plotted");
    for chart in drawable {
        fs::write(args.plots.join(format!("{}.svg", chart.name)), chart.draw())?;
        println!("![{}](plots/{}.svg)\n", chart.title, chart.name);
    }
    Ok(())
}

/// The median of a figure over all rounds, where it was measured.
fn median(args: &PlotArgs, name: &str, figure: Pick) -> Option<f64> {
    Some(Spread::of(reports(&args.reports, name).ok()?.values().filter_map(figure)).ok()?.median)
}

/// Percentiles, as one over the share above: 2 is the median, 100 the 99th.
fn percentiles(args: &PlotArgs, name: &str) -> Vec<(f64, f64)> {
    let figures: [(f64, Pick); 5] = [
        (2.0, |report| Some(report.latency_ms.as_ref()?.p50)),
        (10.0, |report| Some(report.latency_ms.as_ref()?.p90)),
        (20.0, |report| Some(report.latency_ms.as_ref()?.p95)),
        (100.0, |report| Some(report.latency_ms.as_ref()?.p99)),
        (1000.0, |report| Some(report.latency_ms.as_ref()?.p999)),
    ];
    figures.iter().filter_map(|(x, figure)| Some((*x, median(args, name, *figure)?))).collect()
}
