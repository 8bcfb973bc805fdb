//! The scenario `fanout`: streams that watch scores posted at a fixed rate, each event at each watcher accounted for.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use clap::Args;
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use crate::{Target, latencies::Latencies};

/// How long the last event may take to arrive.
const GRACE: Duration = Duration::from_secs(10);

/// How many watch, and what they see.
#[derive(Args)]
pub struct FanoutArgs {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    streams: u64,
    /// Scores posted a second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
}

/// Runs it and prints deliveries, latencies, and events that were missing or came twice.
pub async fn run(args: FanoutArgs) -> anyhow::Result<()> {
    let client = args.target.client()?;
    args.target.prepare(&client, "load-fanout").await?;
    let events = args.rate * args.target.seconds;
    let (open, mut opened) = mpsc::channel(256);
    let mut watchers = JoinSet::new();
    for _ in 0..args.streams {
        watchers.spawn(watch(client.clone(), args.target.clone(), events, open.clone()));
    }
    for _ in 0..args.streams {
        ensure!(opened.recv().await.is_some(), "a stream could not be opened");
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate as u32);
    for turn in 0..events {
        ticks.tick().await;
        let body = json!({ "actionId": "load-fanout", "userId": format!("u-{}", turn % 100) });
        let request = client.post(format!("{}/api/scores", args.target.url)).bearer_auth(&args.target.token).json(&body);
        request.send().await?.error_for_status()?;
    }
    let (mut latencies, mut wrong) = (Latencies::default(), 0);
    while let Some(watched) = watchers.join_next().await {
        let (of_watcher, wrong_at_watcher) = watched??;
        latencies.merge(of_watcher);
        wrong += wrong_at_watcher;
    }
    let expected = events * args.streams;
    println!(
        "fanout: {} streams × {}/s: {} of {expected} delivered, {wrong} out of order",
        args.streams,
        args.rate,
        latencies.count()
    );
    println!("        commit to receipt: {}", latencies.summary());
    Ok(())
}

/// Reads one stream until all events came or none comes any more. Answers the times from commit to receipt, and events that did not follow the one before.
async fn watch(client: reqwest::Client, target: Target, events: u64, open: mpsc::Sender<()>) -> anyhow::Result<(Latencies, u64)> {
    let response = client.get(format!("{}/api/leaderboards/load-fanout/stream", target.url)).send().await?;
    let mut stream = response.bytes_stream().eventsource();
    let (mut latencies, mut wrong, mut last) = (Latencies::default(), 0, String::new());
    let deadline = Instant::now() + Duration::from_secs(target.seconds) + 3 * GRACE;
    while (latencies.count() as u64) < events {
        let Ok(Some(Ok(event))) = tokio::time::timeout_at(deadline, stream.next()).await else { break };
        match event.event.as_str() {
            "leaderboard" => {
                open.send(()).await.ok();
                last = event.id;
            }
            "score-updated" => {
                let data: Value = serde_json::from_str(&event.data)?;
                let at: DateTime<Utc> = data["at"].as_str().unwrap_or_default().parse()?;
                latencies.record((Utc::now() - at).to_std().unwrap_or_default());
                wrong += u64::from(data["since"] != *last);
                last = event.id;
            }
            _ => {}
        }
    }
    Ok((latencies, wrong))
}
