//! `idle`: what a stream costs that nothing happens on.

use std::{thread::sleep, time::Duration};

use clap::Args;

use super::streams::StreamsArgs;
use crate::{
    measure::window::{MeasureArgs, Window},
    target::Target,
};

/// Until what opening left behind is gone.
const SETTLE: Duration = Duration::from_secs(2);

/// How many, for how long. The first `--pid` is the server.
#[derive(Args)]
pub struct IdleArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    streams: StreamsArgs,
    /// Streams that are opened and closed before: what a server keeps for good after its first few is no cost of the others.
    #[arg(long, default_value_t = 100)]
    before: u64,
}

/// Opens the streams, holds them, and reports the growth of the server's memory for each.
pub fn run(args: IdleArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let server = args.measure.processes.first();
    let rss = || server.map_or(0, |server| server.read().rss);
    let window = Window::new(&args.measure);
    if args.before > 0 {
        args.streams.of(args.before).gather(&args.target, 1, &window.beside())?.leave()?;
    }
    sleep(SETTLE);
    let empty = rss();
    let crowd = args.streams.gather(&args.target, args.measure.threads, &window)?;
    sleep(SETTLE);
    let open = rss();
    window.start();
    window.watch();
    let held = rss();
    let seen = crowd.leave()?;
    sleep(SETTLE);
    let streams = args.streams.streams as f64;
    let each = |bytes: u64| (bytes as f64 - empty as f64) / 1024.0 / streams;
    window
        .report_counted("idle", &seen.latencies)
        .setting("streams", args.streams.streams)
        .setting("view", args.streams.view())
        .figure("KiB a stream, opened", each(open))
        .figure("KiB a stream, at the end", each(held))
        .figure("KiB a stream, kept after all have left", each(rss()))
        .figure("streams that ended", seen.ended as f64)
        .publish(args.measure.json.as_deref())
}
