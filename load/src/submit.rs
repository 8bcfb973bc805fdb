//! The scenario `submit`: a closed loop of `POST /api/scores`.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Target, latencies::Latencies};

/// How many at once, and over how many users.
#[derive(Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    connections: u64,
    #[arg(long, default_value_t = 1000)]
    users: u64,
}

/// Runs it and prints scores a second, latencies and answers that were no success.
pub async fn run(args: SubmitArgs) -> anyhow::Result<()> {
    let client = args.target.client()?;
    args.target.prepare(&client, "load-submit").await?;
    let started = Instant::now();
    let until = started + Duration::from_secs(args.target.seconds);
    let mut loops = JoinSet::new();
    for connection in 0..args.connections {
        let (client, target, users) = (client.clone(), args.target.clone(), args.users.max(1));
        loops.spawn(async move {
            let (mut latencies, mut refused, mut turn) = (Latencies::default(), 0_u64, connection);
            while Instant::now() < until {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let body = json!({ "actionId": "load-submit", "userId": format!("u-{}", (turn >> 33) % users) });
                let sent = Instant::now();
                let request = client.post(format!("{}/api/scores", target.url)).bearer_auth(&target.token).json(&body);
                let answered = async { request.send().await?.error_for_status()?.bytes().await };
                match answered.await {
                    Ok(_) => latencies.record(sent.elapsed()),
                    Err(_) => refused += 1,
                }
            }
            (latencies, refused)
        });
    }
    let (mut latencies, mut refused) = (Latencies::default(), 0);
    for (of_loop, refused_by_loop) in loops.join_all().await {
        latencies.merge(of_loop);
        refused += refused_by_loop;
    }
    let rate = latencies.count() as f64 / started.elapsed().as_secs_f64();
    println!("submit: {} connections, {} users: {rate:.0}/s, {refused} refused", args.connections, args.users);
    println!("        {}", latencies.summary());
    Ok(())
}
