//! `history`: a crowd reads the history of somebody who has a great many events, while scores are posted beside it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::runtime;

use super::{
    prefill::{self, SIZE},
    submit::Submissions,
};
use crate::{
    http::{
        connection::Connection,
        drive::{Crew, Pace, Work, drive},
        request::{self, Template, put},
    },
    measure::window::{MeasureArgs, Window},
    target::Target,
};

/// How many read, and how much there is.
#[derive(Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    /// Readers, each in a closed loop without a token.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// Scores posted a second, by 16 connections.
    #[arg(long, default_value_t = 100.0)]
    scores: f64,
    /// Events that the user has in another leaderboard than the one that is asked for; what is missing is made first.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
}

/// One reader: in turn the history in a leaderboard where the user has nothing, and the whole one.
struct Histories {
    target: Target,
    user: String,
    asked: u64,
}

/// Posts alone for as long as is measured, then the same with the readers beside them; reports reads a second and the latencies of posts.
pub fn run(args: HistoryArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let elsewhere = Target { leaderboard: format!("{}-elsewhere", args.target.leaderboard), ..args.target.clone() };
    elsewhere.prepare()?;
    let user = "u-historian";
    fill(&elsewhere, user, args.events)?;

    let server = args.target.address()?;
    let posters = || (0..16).map(|_| Submissions::new(&args.target, 1000)).collect();
    let pace = Pace::Fixed { per_second: args.scores };
    let quiet = drive(&[server], posters(), pace, 1, &Window::new(&args.measure))?;

    let window = Window::new(&args.measure);
    let posting = window.beside();
    let readers =
        (0..args.connections).map(|_| Histories { target: args.target.clone(), user: user.to_owned(), asked: 0 }).collect();
    let posts = Crew::start(&[server], posters(), pace, 1, &posting)?;
    let reads = Crew::start(&[server], readers, Pace::Closed, args.measure.threads, &window)?;
    window.watch();
    let (posts, reads) = (posts.join()?, reads.join()?);
    let mut report = window.report("history", &reads);
    for (reason, count) in &posts.failed {
        *report.failed.entry(format!("{reason} of a post")).or_default() += count;
    }
    let (alone, beside) = (quiet.latencies.quantiles(), posts.latencies.quantiles());
    report
        .setting("connections", args.connections)
        .setting("scores", args.scores)
        .setting("events", args.events)
        .figure("p95 of a post alone, ms", alone.p95)
        .figure("p95 of a post beside readers, ms", beside.p95)
        .figure("p99 of a post beside readers, ms", beside.p99)
        .figure("p95 of a post, times", beside.p95 / alone.p95)
        .publish(args.measure.json.as_deref())
}

impl Work for Histories {
    fn write(&mut self, request: &mut Vec<u8>) {
        let (user, leaderboard) = (&self.user, &self.target.leaderboard);
        self.asked += 1;
        if self.asked.is_multiple_of(2) {
            request::get(&self.target, format_args!("/api/users/{user}/scores?limit=10"), request);
        } else {
            request::get(&self.target, format_args!("/api/users/{user}/scores?limit=10&leaderboardId={leaderboard}"), request);
        }
    }

    fn operations(&self, _: &[u8]) -> u64 {
        1
    }
}

/// Sees to it that the user has so many events: as many as points, because each gives one.
fn fill(target: &Target, user: &str, events: u64) -> anyhow::Result<()> {
    let path = format!("/api/leaderboards/{}/entries/query", target.leaderboard);
    let present = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut request = Vec::new();
        Template::post(target, &path).write(&mut request, None, &serde_json::to_vec(&json!({ "userIds": [user] }))?);
        let mut connection = Connection::open(target.address()?, 0).await?;
        let answer: serde_json::Value = serde_json::from_slice(connection.exchange(&request).await?.body)?;
        let entries = answer["entries"].as_array().context("the friends query answers no entries")?;
        anyhow::Ok(entries.first().map_or(0, |entry| entry["score"].as_u64().unwrap_or(0)))
    })?;
    let (posted, wanted) = (AtomicU64::new(0), events.saturating_sub(present).div_ceil(SIZE));
    let mut batch = br#"{"submissions":["#.to_vec();
    for index in 0..SIZE {
        let comma = if index > 0 { "," } else { "" };
        put(&mut batch, format_args!(r#"{comma}{{"actionId":"{}.point","userId":"{user}"}}"#, target.leaderboard));
    }
    batch.extend_from_slice(b"]}");
    prefill::fill(target, |body| {
        body.clone_from(&batch);
        if posted.fetch_add(1, Relaxed) < wanted { SIZE } else { 0 }
    })
}
