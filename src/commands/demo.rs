//! `scoreboard demo`: a server of its own on a database of its own, and a real season played back through the public API, up to
//! the start of the next one.

mod season;

use std::{collections::BTreeSet, io::Write, net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{app, config::Settings, domain::time::Clock, services::tokens::Tokens};
use season::{Match, next_season, season};

/// Prints a line. Nobody who reads it any more is no reason to stop: the page is still there.
macro_rules! say {
    ($($line:tt)*) => {
        writeln!(std::io::stdout(), $($line)*).ok();
    };
}

/// How long the season takes at speed 1.
const SEASON: Duration = Duration::from_secs(120);
/// How long its final table stays before the next season begins, at speed 1.
const PAUSE: Duration = Duration::from_secs(5);
/// The names of the two seasons.
const NAMES: [&str; 2] = ["2015/16", "2016/17"];

/// How the season is played back.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// 1 plays the season in about two minutes, 10 in twelve seconds.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Where the page is served; a free port is taken where this one is in use.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080", value_parser = crate::config::parse::address)]
    listen_addr: SocketAddr,
    /// Stop after the last match instead of going on showing the tables.
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
        say!("{} is in use: taking another port.", args.listen_addr);
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
        say!("The tables stay at http://{}/ until you press Ctrl-C.", running.address);
        interrupted.cancelled().await;
    }
    running.stop().await;
    std::fs::remove_dir_all(&directory).ok();
    played
}

async fn play(client: &Client, speed: f64) -> anyhow::Result<()> {
    let (matches, next) = (season(), next_season());
    let pace = SEASON.div_f64(speed) / matches.len() as u32;
    client.prepare([&matches[..], &next[..]].concat().iter()).await?;
    say!();
    say!("  Premier League {}, {} matches: open http://{}/", NAMES[0], matches.len(), client.address);
    say!("  or watch it here:  curl -N 'http://{}/api/leaderboard/stream?view=top'", client.address);
    say!();
    play_matches(client, &matches, pace).await?;
    tokio::time::sleep(PAUSE.div_f64(speed)).await;
    client.end_season(1, NAMES[1]).await?;
    client.print_table(1).await?;
    say!("  {} has ended: http://{}/?season=1 shows how. {} begins.", NAMES[0], client.address, NAMES[1]);
    say!();
    play_matches(client, &next, pace).await?;
    client.print_table(2).await
}

async fn play_matches(client: &Client, matches: &[Match], pace: Duration) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(pace);
    let mut day = "";
    for played in matches {
        ticks.tick().await;
        if day != played.date {
            day = played.date;
            say!("{day}");
        }
        say!("  {} {}–{} {}", played.home, played.goals[0], played.goals[1], played.away);
        client.post_match(played).await?;
    }
    Ok(())
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

    /// The leaderboard, its actions, and the names of its first season and of all teams.
    async fn prepare(&self, matches: impl Iterator<Item = &Match>) -> anyhow::Result<()> {
        let about = json!({ "name": "Premier League", "description": "Win 3, draw 1, loss 0", "unit": "points" });
        self.call(reqwest::Method::PATCH, "/api/leaderboards/premier-league", about).await?;
        let season = json!({ "name": NAMES[0] });
        self.call(reqwest::Method::PATCH, "/api/leaderboards/premier-league/seasons/1", season).await?;
        for outcome in [season::Outcome::Win, season::Outcome::Draw, season::Outcome::Loss] {
            let action = json!({ "id": outcome.action_id(), "leaderboards": ["premier-league"], "points": outcome.points() });
            self.call(reqwest::Method::POST, "/api/actions", action).await?;
        }
        let teams: BTreeSet<&str> = matches.flat_map(|played| [played.home, played.away]).collect();
        for team in teams {
            self.call(reqwest::Method::PUT, &format!("/api/users/{}", slug(team)), json!({ "displayName": team })).await?;
        }
        Ok(())
    }

    /// Ends a season; the next one has this name.
    async fn end_season(&self, ends: i64, name: &str) -> anyhow::Result<()> {
        let body = json!({ "ends": ends, "name": name });
        self.call(reqwest::Method::POST, "/api/leaderboards/premier-league/seasons", body).await?;
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

    async fn print_table(&self, season: i64) -> anyhow::Result<()> {
        let path = format!("/api/leaderboard?season={season}&limit=20");
        let window = self.call(reqwest::Method::GET, &path, Value::Null).await?;
        say!();
        for entry in window["entries"].as_array().context("a window has entries")? {
            let (rank, score) = (entry["rank"].to_string(), entry["score"].to_string());
            say!("  {rank:>2}  {:<24} {score:>3}", entry["displayName"].as_str().unwrap_or_default());
        }
        say!();
        Ok(())
    }
}

/// `Leicester City` is the user `leicester-city`.
fn slug(team: &str) -> String {
    team.to_lowercase().replace(' ', "-")
}
