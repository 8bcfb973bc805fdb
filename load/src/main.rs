//! Puts a running server under load and says what came out. Loopback only, bounded in time.
//!
//! `cargo run --release -p load -- submit` posts scores in a closed loop; `… -- fanout` opens streams, posts at a fixed rate and measures from
//! commit (`at`) to receipt. Both need `SCOREBOARD_TOKEN` with `scores:write leaderboards:admin`.

mod fanout;
mod latencies;
mod submit;

use std::net::IpAddr;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use serde_json::json;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Closed loop: each connection posts its next score when the last one is answered
    Submit(submit::SubmitArgs),
    /// Streams that watch scores posted at a fixed rate
    Fanout(fanout::FanoutArgs),
}

/// Where the server is, and for how long to bother it.
#[derive(Debug, Clone, Args)]
struct Target {
    /// The server, on this machine.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    #[arg(long, env = "SCOREBOARD_TOKEN", hide_env_values = true)]
    token: String,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
}

impl Target {
    /// A client that holds on to its connections; refuses any address but loopback.
    fn client(&self) -> anyhow::Result<reqwest::Client> {
        let url = reqwest::Url::parse(&self.url)?;
        let host = url.host_str().context("the URL has no host")?;
        let local =
            host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        ensure!(local, "load goes to loopback only, not to {host}");
        Ok(reqwest::Client::builder().no_proxy().pool_max_idle_per_host(usize::MAX).build()?)
    }

    /// Makes the leaderboard and the action of a scenario where they are missing.
    async fn prepare(&self, client: &reqwest::Client, id: &str) -> anyhow::Result<()> {
        let action = json!({ "id": id, "leaderboards": [id], "points": 1 });
        for (path, body) in [("leaderboards", json!({ "id": id })), ("actions", action)] {
            let request = client.post(format!("{}/api/{path}", self.url)).bearer_auth(&self.token).json(&body);
            let status = request.send().await?.status();
            ensure!(status.is_success() || status.as_u16() == 409, "{path}: {status}");
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().scenario {
        Scenario::Submit(args) => submit::run(args).await,
        Scenario::Fanout(args) => fanout::run(args).await,
    }
}
