//! `mixed`: streams, scores and reads at the same time: what the seed document promises of one instance.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use clap::Args;

use super::{
    read::{Reads, What},
    streams::StreamsArgs,
    submit::Submissions,
};
use crate::{
    http::drive::{Crew, Pace},
    measure::{
        report::Report,
        window::{MeasureArgs, Window},
    },
    target::Target,
};

/// How much of each.
#[derive(Args)]
pub struct MixedArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    streams: StreamsArgs,
    /// Scores posted a second.
    #[arg(long, default_value_t = 100.0)]
    scores: f64,
    /// Reads of the top ten a second.
    #[arg(long, default_value_t = 10_000.0)]
    reads: f64,
}

/// Everything that is asked for at once.
pub struct Mix {
    pub target: Target,
    pub streams: StreamsArgs,
    pub scores: f64,
    pub reads: f64,
    pub threads: u64,
}

/// Runs it and reports the latencies of deliveries, scores and reads.
pub fn run(args: MixedArgs) -> anyhow::Result<()> {
    let window = Window::new(&args.measure);
    let mix =
        Mix { target: args.target, streams: args.streams, scores: args.scores, reads: args.reads, threads: args.measure.threads };
    mix.run("mixed", &window)?.publish(args.measure.json.as_deref())
}

impl Mix {
    /// Blocks until the window has closed and everything is accounted for.
    pub fn run(self, scenario: &str, window: &Window) -> anyhow::Result<Report> {
        self.target.prepare()?;
        let server = self.target.address()?;
        let (scoring, reading) = (window.beside(), window.beside());
        let crowd = self.streams.gather(&self.target, self.threads, window)?;
        let posters = (0..16).map(|_| Submissions::new(&self.target, 1000)).collect();
        let readers = (0..64).map(|_| Reads {
            target: self.target.clone(),
            what: What::Top,
            limit: 10,
            around: 0,
            users: 1000,
            season: String::new(),
        });
        let posters = Crew::start(&[server], posters, Pace::Fixed { per_second: self.scores }, 1, &scoring)?;
        let readers = Crew::start(&[server], readers.collect(), Pace::Fixed { per_second: self.reads }, 1, &reading)?;
        window.watch();
        let (scores, reads) = (posters.join()?, readers.join()?);
        let expected = scoring.done.load(Relaxed);
        if self.streams.all_events() {
            crowd.has_all(expected, Duration::from_secs(10));
        }
        let delivered = crowd.counters.delivered.load(Relaxed);
        let seen = crowd.leave()?;
        let mut report = window.report_counted(scenario, &seen.latencies);
        report.failed = scores.failed.clone();
        for (reason, count) in &reads.failed {
            *report.failed.entry(reason.clone()).or_default() += count;
        }
        let (of_scores, of_reads) = (scores.latencies.quantiles(), reads.latencies.quantiles());
        let seconds = report.seconds;
        report = report
            .setting("streams", self.streams.streams)
            .setting("scores", self.scores)
            .setting("reads", self.reads)
            .setting("view", self.streams.view())
            .figure("scores a second", scores.operations as f64 / seconds)
            .figure("p95 of a score, ms", of_scores.p95)
            .figure("p99 of a score, ms", of_scores.p99)
            .figure("reads a second", reads.operations as f64 / seconds)
            .figure("p95 of a read, ms", of_reads.p95)
            .figure("p99 of a read, ms", of_reads.p99)
            .figure("missing, repeated or replaced", seen.wrong() as f64)
            .figure("streams that ended", seen.ended as f64);
        if self.streams.all_events() {
            report = report.figure("not delivered", (expected * self.streams.streams) as f64 - delivered as f64);
        }
        Ok(report)
    }
}
