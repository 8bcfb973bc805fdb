//! `climb`: a crowd is pushed until something gives: the rate of scores rises step by step until deliveries lag, events are missing, or
//! scores are no longer accepted in time.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use clap::Args;

use super::{streams::StreamsArgs, submit::Submissions};
use crate::{
    http::drive::{Crew, Pace},
    measure::{
        report::Report,
        window::{MeasureArgs, Window},
    },
    target::Target,
};

/// Deliveries that are still on their way this long after the last score are a sign that they lag.
const LAG: Duration = Duration::from_millis(500);

/// How many watch, and how the rate rises. Each step takes `--seconds` after `--warm-up`.
#[derive(Args)]
pub struct ClimbArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    streams: StreamsArgs,
    /// Scores a second of the first step.
    #[arg(long, default_value_t = 200.0)]
    from: f64,
    /// By how much the rate is multiplied from step to step.
    #[arg(long, default_value_t = 1.15)]
    factor: f64,
    /// Connections that post.
    #[arg(long, default_value_t = 64)]
    connections: u64,
}

/// What became of one step.
enum Step {
    Held(Report),
    Gave(String),
}

/// Climbs, and reports the highest step at which every event came to everyone in time.
pub fn run(args: ClimbArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let (mut rate, mut best) = (args.from, None);
    let reason = loop {
        match step(&args, rate)? {
            Step::Held(report) => {
                eprintln!("{rate:.0} scores/s held: {:.0} deliveries/s", report.per_second);
                best = Some(report);
            }
            Step::Gave(reason) => break reason,
        }
        rate *= args.factor;
    };
    println!("gave at {rate:.0} scores/s: {reason}");
    let report = best.unwrap_or_else(|| Report { scenario: "climb".to_owned(), ..Report::default() });
    report.figure("gave at scores a second", rate).publish(args.measure.json.as_deref())
}

fn step(args: &ClimbArgs, rate: f64) -> anyhow::Result<Step> {
    let window = Window::new(&args.measure);
    let posting = window.beside();
    let crowd = args.streams.gather(&args.target, args.measure.threads, &window)?;
    let posters = (0..args.connections).map(|_| Submissions::new(&args.target, 1000)).collect();
    let crew = Crew::start(&[args.target.address()?], posters, Pace::Fixed { per_second: rate }, 1, &posting)?;
    window.watch();
    let posted = match crew.join() {
        Ok(posted) => posted,
        Err(error) => return Ok(Step::Gave(error.to_string())),
    };
    let expected = posting.done.load(Relaxed);
    let in_time = crowd.has_all(expected, LAG);
    let all = expected * args.streams.streams;
    let delivered = crowd.counters.delivered.load(Relaxed);
    let seen = crowd.leave()?;
    let mut report = window.report_counted("climb", &seen.latencies);
    // What was late in the warm-up and came in the window is no higher rate.
    report.per_second = report.per_second.min(rate * args.streams.streams as f64);
    let report = report.setting("streams", args.streams.streams).setting("rate", rate).setting("view", args.streams.view());
    Ok(if let Some((reason, count)) = posted.failed.first_key_value() {
        Step::Gave(format!("{count} scores refused: {reason}"))
    } else if seen.wrong() > 0 {
        Step::Gave(format!("{} events missing, {} repeated, {} snapshots instead", seen.missing, seen.repeated, seen.resets))
    } else if seen.ended > 0 {
        Step::Gave(format!("{} streams ended", seen.ended))
    } else if !in_time {
        Step::Gave(format!("{delivered} of {all} delivered {LAG:?} after the last one"))
    } else if report.per_second < 0.95 * rate * args.streams.streams as f64 {
        Step::Gave(format!("{:.0} deliveries a second were too few", report.per_second))
    } else {
        Step::Held(report)
    })
}
