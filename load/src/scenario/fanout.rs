//! `fanout`: a crowd watches what is posted beside it.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use clap::Args;

use super::{streams::StreamsArgs, submit::Submissions};
use crate::{
    http::drive::{Crew, Pace},
    measure::window::{MeasureArgs, Window},
    target::Target,
};

/// What has not come so long after the last score counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many watch, and what happens.
#[derive(Args)]
pub struct FanoutArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    streams: StreamsArgs,
    /// Scores posted a second.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Connections that post them.
    #[arg(long, default_value_t = 16)]
    connections: u64,
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
}

/// Opens the streams, posts, and reports deliveries, their latencies, and whatever was missing, came twice or was replaced by a snapshot.
pub fn run(args: FanoutArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let window = Window::new(&args.measure);
    let posting = window.beside();
    let crowd = args.streams.gather(&args.target, args.measure.threads, &window)?;
    let posters = (0..args.connections).map(|_| Submissions::new(&args.target, args.users)).collect();
    let pace = Pace::Fixed { per_second: args.rate };
    let crew = Crew::start(&[args.target.address()?], posters, pace, 1, &posting)?;
    window.watch();
    let posted = crew.join()?;
    let expected = posting.done.load(Relaxed);
    if args.streams.all_events() {
        crowd.has_all(expected, PATIENCE);
    }
    let delivered = crowd.counters.delivered.load(Relaxed);
    let seen = crowd.leave()?;
    let mut report = window.report_counted("fanout", &seen.latencies);
    report.failed = posted.failed.clone();
    report = report
        .setting("streams", args.streams.streams)
        .setting("rate", args.rate)
        .setting("view", args.streams.view())
        .figure("missing", seen.missing as f64)
        .figure("repeated", seen.repeated as f64)
        .figure("resets", seen.resets as f64)
        .figure("streams that ended", seen.ended as f64)
        .figure("p95 of a post, ms", posted.latencies.quantiles().p95)
        .figure("p99 of a post, ms", posted.latencies.quantiles().p99);
    if args.streams.all_events() {
        report = report.figure("not delivered", (expected * args.streams.streams) as f64 - delivered as f64);
    }
    report.publish(args.measure.json.as_deref())
}
