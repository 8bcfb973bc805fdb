//! `prefill`: a leaderboard of any size, through the front door.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Instant,
};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::runtime;

use super::batch::{accepted, write_batch};
use crate::{
    http::{
        connection::Connection,
        request::{Template, put},
    },
    target::{MOST_POINTS, Target, name_of},
};

/// Submissions in one request: what the API takes at the most.
pub const SIZE: u64 = 1000;

/// Requests at once.
const CONNECTIONS: usize = 4;

/// How many.
#[derive(Args)]
pub struct PrefillArgs {
    #[command(flatten)]
    target: Target,
    /// Users `u-0` … that have a random score afterwards.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// They have display names as well, of which many begin alike.
    #[arg(long)]
    named: bool,
}

/// Adds users until there are as many as wanted.
pub fn run(args: PrefillArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let total = || {
        let definition = args.target.get(&format!("/api/leaderboards/{}", args.target.leaderboard))?;
        definition["total"].as_u64().context("the leaderboard does not say how many entries it has")
    };
    let (began, before) = (Instant::now(), total()?);
    let (next, action) = (AtomicU64::new(before), format!("{}.points", args.target.leaderboard));
    fill(&args.target, move |body| {
        let first = next.fetch_add(SIZE, Relaxed);
        let users = first..(first + SIZE).min(args.entries);
        let count = users.end.saturating_sub(users.start);
        let scores = users.map(|user| (user, Some(fastrand::u64(..=MOST_POINTS))));
        write_batch(body, &action, scores, |body, index| {
            if args.named {
                put(body, format_args!(r#","displayName":"{}""#, name_of(first + index as u64)));
            }
        });
        count
    })?;
    let after = total()?;
    let rate = after.saturating_sub(before) as f64 / began.elapsed().as_secs_f64();
    println!("prefill: {after} entries, {rate:.0} a second");
    ensure!(after >= args.entries, "{} entries were wanted", args.entries);
    Ok(())
}

/// Posts one batch after the other, a few at once. `write` replaces the body by the next batch and answers how many submissions it has: none when
/// all are posted. Every one of them has to be accepted.
pub fn fill(target: &Target, write: impl Fn(&mut Vec<u8>) -> u64 + Send + Sync) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let fillers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| post_all(target, &write))).collect();
        fillers.into_iter().try_for_each(|filler| filler.join().expect("a thread that fills"))
    })
}

fn post_all(target: &Target, write: impl Fn(&mut Vec<u8>) -> u64) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let template = Template::post(target, "/api/scores/batch");
    let (mut body, mut request) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut connection = Connection::open(target.address()?, 0).await?;
        loop {
            let count = write(&mut body);
            if count == 0 {
                return Ok(());
            }
            template.write(&mut request, None, &body);
            let answer = connection.exchange(&request).await?;
            let refused = String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)]);
            ensure!(answer.status == 200 && accepted(answer.body) == count, "{}: {refused}", answer.status);
        }
    })
}
