//! `scoreboard demo`: a server of its own on a database of its own, and a real season played back through the public API.

mod season;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{app, config::Settings, domain::time::Clock, services::tokens::Tokens};
use season::{Match, season};

/// How long the season takes at speed 1.
const SEASON: Duration = Duration::from_secs(120);

/// How the season is played back.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// 1 plays the season in about two minutes, 10 in twelve seconds.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Where the page is served; a free port is taken where this one is in use.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080", value_parser = crate::config::parse::address)]
    listen_addr: SocketAddr,
    /// Stop after the last match instead of going on showing the table.
    #[arg(long)]
    once: bool,
}

/// Plays the season back and then goes on serving until it is interrupted.
pub async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    ensure!(args.speed.is_finite() && args.speed > 0.0, "--speed takes a number greater than 0");
    app::init_logging(crate::config::LogFormat::Pretty, "warn")?;
    let directory = std::env::temp_dir().join(format!("scoreboard-demo-{}", uuid::Uuid::new_v4().simple()));
    // Every default, whatever the environment says of stores and keys.
    let mut settings = Settings::from_flags([] as [&str; 0])?;
    settings.storage.data_dir = directory.clone();
    (settings.storage.database_url, settings.storage.redis_url) = (None, None);
    (settings.tokens.jwt_secret, settings.tokens.jwt_public_key_file) = (None, None);
    settings.storage.default_leaderboard = "premier-league".into();
    settings.http.listen_addr = args.listen_addr;
    if std::net::TcpListener::bind(args.listen_addr).is_err() {
        println!("{} is in use: taking another port.", args.listen_addr);
        settings.http.listen_addr.set_port(0);
    }
    let running = app::start(&settings, Clock::system()).await?;
    let tokens = Tokens::configure(&settings.tokens, &directory)?;
    let token = tokens.issue("demo", "scores:write leaderboards:admin", 7 * 86_400)?;
    let interrupted = CancellationToken::new();
    tokio::spawn({
        let interrupted = interrupted.clone();
        async move {
            let terminated = async {
                match signal(SignalKind::terminate()) {
                    Ok(mut terminated) => drop(terminated.recv().await),
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = terminated => {}
            }
            interrupted.cancel();
        }
    });
    let client = Client::new(running.address, token);
    let played = tokio::select! {
        result = play(&client, args.speed) => result,
        () = interrupted.cancelled() => Ok(()),
    };
    if played.is_ok() && !args.once && !interrupted.is_cancelled() {
        println!("The season is over; the table stays at http://{}/ until you press Ctrl-C.", running.address);
        interrupted.cancelled().await;
    }
    running.stop().await;
    std::fs::remove_dir_all(&directory).ok();
    played
}

async fn play(client: &Client, speed: f64) -> anyhow::Result<()> {
    client.prepare().await?;
    let matches = season();
    println!();
    println!("  Premier League 2015/16, {} matches: open http://{}/", matches.len(), client.address);
    println!("  or watch it here:  curl -N 'http://{}/api/leaderboard/stream?view=top'", client.address);
    println!();
    let mut teams: Vec<&str> = matches.iter().flat_map(|played| [played.home, played.away]).collect();
    teams.sort_unstable();
    teams.dedup();
    for team in teams {
        client.call(reqwest::Method::PUT, &format!("/api/users/{}", slug(team)), json!({ "displayName": team })).await?;
    }
    let mut ticks = tokio::time::interval(SEASON.div_f64(speed) / matches.len() as u32);
    let mut day = "";
    for played in &matches {
        ticks.tick().await;
        if day != played.date {
            day = played.date;
            println!("{day}");
        }
        println!("  {} {}–{} {}", played.home, played.goals[0], played.goals[1], played.away);
        client.post_match(played).await?;
    }
    client.print_table().await
}

/// A client of the public API, as any game's backend would be.
struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: String,
}

impl Client {
    fn new(address: SocketAddr, token: String) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap_or_default(), address, token }
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.http.request(method, format!("http://{}{path}", self.address)).bearer_auth(&self.token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.with_context(|| path.to_owned())?;
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(answer)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let about = json!({ "name": "Premier League 2015/16", "description": "Win 3, draw 1, loss 0", "unit": "points" });
        self.call(reqwest::Method::PATCH, "/api/leaderboards/premier-league", about).await?;
        for outcome in [season::Outcome::Win, season::Outcome::Draw, season::Outcome::Loss] {
            let action = json!({ "id": outcome.action_id(), "leaderboards": ["premier-league"], "points": outcome.points() });
            self.call(reqwest::Method::POST, "/api/actions", action).await?;
        }
        Ok(())
    }

    async fn post_match(&self, played: &Match) -> anyhow::Result<()> {
        let score = format!("{}:{}", played.goals[0], played.goals[1]);
        for (team, outcome) in played.outcomes() {
            let metadata = json!({ "date": played.date, "home": played.home, "away": played.away, "score": score });
            let body = json!({ "actionId": outcome.action_id(), "userId": slug(team), "metadata": metadata });
            self.call(reqwest::Method::POST, "/api/scores", body).await?;
        }
        Ok(())
    }

    async fn print_table(&self) -> anyhow::Result<()> {
        let window = self.call(reqwest::Method::GET, "/api/leaderboard?limit=20", Value::Null).await?;
        println!();
        for entry in window["entries"].as_array().context("a window has entries")? {
            let (rank, score) = (entry["rank"].to_string(), entry["score"].to_string());
            println!("  {rank:>2}  {:<24} {score:>3}", entry["displayName"].as_str().unwrap_or_default());
        }
        println!();
        Ok(())
    }
}

/// `Leicester City` is the user `leicester-city`.
fn slug(team: &str) -> String {
    team.to_lowercase().replace(' ', "-")
}
