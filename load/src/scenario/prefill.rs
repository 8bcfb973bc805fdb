//! `prefill`: a leaderboard of any size, through the front door.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::runtime;

use super::batch::{accepted, write_batch};
use crate::{
    http::{connection::Connection, request::Template},
    target::{MOST_POINTS, Target},
};

/// Submissions in one request: what the API takes at the most.
const SIZE: u64 = 1000;

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
}

/// Adds users until there are as many as wanted.
pub fn run(args: PrefillArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let total = || {
        let definition = args.target.get(&format!("/api/leaderboards/{}", args.target.leaderboard))?;
        definition["total"].as_u64().context("the leaderboard does not say how many entries it has")
    };
    let (began, before) = (Instant::now(), total()?);
    let next = Arc::new(AtomicU64::new(before));
    let fillers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (target, next) = (args.target.clone(), Arc::clone(&next));
            thread::spawn(move || fill(&target, &next, args.entries))
        })
        .collect();
    for filler in fillers {
        filler.join().expect("a thread that fills")?;
    }
    let after = total()?;
    let rate = after.saturating_sub(before) as f64 / began.elapsed().as_secs_f64();
    println!("prefill: {after} entries, {rate:.0} a second");
    ensure!(after >= args.entries, "{} entries were wanted", args.entries);
    Ok(())
}

/// Takes one batch after the other from what is left.
fn fill(target: &Target, next: &AtomicU64, entries: u64) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let template = Template::post(target, "/api/scores/batch");
    let action = format!("{}.points", target.leaderboard);
    let (mut body, mut request) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut connection = Connection::open(target.address()?, 0).await?;
        loop {
            let first = next.fetch_add(SIZE, Relaxed);
            if first >= entries {
                return Ok(());
            }
            let users = first..(first + SIZE).min(entries);
            let count = users.end - users.start;
            write_batch(&mut body, &action, users.map(|user| (user, Some(fastrand::u64(..=MOST_POINTS)))));
            template.write(&mut request, None, &body);
            let answer = connection.exchange(&request).await?;
            let refused = String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)]);
            ensure!(answer.status == 200 && accepted(answer.body) == count, "{}: {refused}", answer.status);
        }
    })
}
