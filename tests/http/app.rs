//! A server of its own for each test, with a client per kind of caller.
//!
//! [`both_backends!`] runs a test on the embedded stores (a SQLite file in a fresh directory) and on Postgres with Redis (a fresh database; the
//! ranking's keys carry the database's own installation id). `TEST_DATABASE_URL` and `TEST_REDIS_URL` name the servers: `make test` starts them,
//! and without them the tests fail instead of being skipped.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use scoreboard::{
    app::{Running, start},
    config::Settings,
    domain::time::{Clock, Timestamp},
};
use serde_json::{Value, json};

/// Where a test's server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Embedded,
    Shared,
}

/// Runs each test twice, as `embedded::name` and `shared::name`. A test takes the backend and spawns what it needs on it.
#[macro_export]
macro_rules! both_backends {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::app::Backend::Embedded).await })+
        }
        mod shared {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::app::Backend::Shared).await })+
        }
    };
}

const SECRET: &str = "a-secret-of-32-bytes-for-the-tests!!";

/// A running server and what is needed to start more of the same.
pub struct TestApp {
    pub address: SocketAddr,
    pub settings: Settings,
    running: Option<Running>,
    clock: Option<SystemClock>,
    http: reqwest::Client,
    _directory: Directory,
}

/// A computer's clock that can be set: how many microseconds it is ahead.
#[derive(Clone, Default)]
pub struct SystemClock(Arc<AtomicI64>);

impl SystemClock {
    /// Sets the clock so many seconds ahead of the right time, or behind it.
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds * 1_000_000, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let ahead = Arc::clone(&self.0);
        Clock::over(move || Timestamp(chrono::Utc::now().timestamp_micros() + ahead.load(Ordering::Relaxed)))
    }
}

/// Boxed, or every test's future would hold the whole start of a server, which is deeper than the compiler goes.
async fn run(settings: &Settings, clock: Option<&SystemClock>) -> anyhow::Result<Running> {
    Box::pin(start(settings, clock.map_or_else(Clock::system, SystemClock::clock))).await
}

/// A directory that goes when the test does.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl TestApp {
    /// A server on fresh stores, with the default leaderboard `main` and the actions `goal` (10 points), `point` (1 point) and `value`
    /// (−1,000,000 to 1,000,000) that feed it.
    pub async fn spawn(backend: Backend) -> Self {
        Self::spawn_with(backend, &[]).await
    }

    /// The same with more flags of `scoreboard serve`.
    pub async fn spawn_with(backend: Backend, flags: &[&str]) -> Self {
        let secret = format!("--jwt-secret={SECRET}");
        let app = Self::spawn_bare(backend, &[&[&*secret], flags].concat()).await;
        for action in [json!({"points": 10, "id": "goal"}), json!({"points": 1, "id": "point"}), value_action("value", "main")] {
            let mut action = action;
            action["leaderboards"] = json!(["main"]);
            app.admin(Method::POST, "/api/actions").json(&action).send().await.unwrap().error_for_status().unwrap();
        }
        app
    }

    /// A server on fresh stores without actions, whose tokens are checked as the flags say.
    pub async fn spawn_bare(backend: Backend, flags: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("scoreboard-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut all = vec![
            "--listen-addr=127.0.0.1:0".to_owned(),
            format!("--data-dir={}", directory.display()),
            "--database-max-connections=4".to_owned(),
        ];
        if backend == Backend::Shared {
            all.push(format!("--database-url={}", fresh_database().await));
            all.push(format!("--redis-url={}", required("TEST_REDIS_URL")));
        }
        all.extend(flags.iter().map(|&flag| flag.to_owned()));
        let settings = Settings::from_flags(all).unwrap();
        Self::start(settings, Directory(directory), None).await
    }

    /// The same on a computer whose clock can be set. It counts for what is started again, too.
    pub async fn restart_by(&mut self, clock: &SystemClock) {
        self.clock = Some(clock.clone());
        self.restart().await;
    }

    async fn start(mut settings: Settings, directory: Directory, clock: Option<SystemClock>) -> Self {
        let running = run(&settings, clock.as_ref()).await.expect("the server starts");
        let address = running.address;
        settings.http.listen_addr = address;
        // Longer than the server takes at most, for the longest lists of decisions.
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(100)).build().unwrap();
        Self { address, settings, running: Some(running), clock, http, _directory: directory }
    }

    /// One more instance on the same stores, on a port of its own.
    pub async fn another(&self) -> Self {
        let mut settings = self.settings.clone();
        settings.http.listen_addr.set_port(0);
        Self::start(settings, Directory(PathBuf::from("/nonexistent")), self.clock.clone()).await
    }

    /// Stops the server as a deploy does.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Stops the server and starts it again on the same address and stores.
    pub async fn restart(&mut self) {
        self.stop().await;
        // Another test of this process may be about to start a program: until the child runs it, it holds every open file of ours too, the
        // lock on the embedded ledger included. And the system may have given the port to a connection of another one meanwhile.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let may_pass = |error: &str| ["already runs", "cannot listen"].iter().any(|cause| error.contains(cause));
        let running = loop {
            match run(&self.settings, self.clock.as_ref()).await {
                Err(error) if may_pass(&format!("{error:#}")) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                started => break started.expect("the server starts again"),
            }
        };
        self.running = Some(running);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// A request with a token that carries these scopes.
    pub fn with(&self, subject: &str, scope: &str, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(self.token(subject, scope))
    }

    /// A request of a game backend that may submit scores.
    pub fn game(&self, method: Method, path: &str) -> RequestBuilder {
        self.with("game-1", "scores:write", method, path)
    }

    /// A request of whoever manages the leaderboards.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.with("admin", "leaderboards:admin leaderboards:read", method, path)
    }

    /// A token that is good for an hour.
    pub fn token(&self, subject: &str, scope: &str) -> String {
        self.token_for(subject, scope, 3600)
    }

    /// A token that is good for so many seconds.
    pub fn token_for(&self, subject: &str, scope: &str, seconds: u64) -> String {
        let tokens =
            scoreboard::services::tokens::Tokens::configure(&self.settings.tokens, &self.settings.storage.data_dir).unwrap();
        tokens.issue(subject, scope, seconds).unwrap()
    }

    /// Submits and answers the receipt.
    pub async fn post_score(&self, user: &str, action: &str) -> Value {
        self.submit(json!({ "actionId": action, "userId": user })).await
    }

    /// Submits a value to the action `value`.
    pub async fn post_value(&self, user: &str, value: i64) -> Value {
        self.submit(json!({ "actionId": "value", "userId": user, "value": value })).await
    }

    /// Submits any body and answers the receipt.
    pub async fn submit(&self, body: Value) -> Value {
        let response = self.game(Method::POST, "/api/scores").json(&body).send().await.unwrap();
        let (status, answer) = status_and_json(response).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// Gets JSON without a token.
    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = status_and_json(self.anonymous(Method::GET, path).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Makes a leaderboard (with these settings) and an action of the same id that submits values to it.
    pub async fn make_leaderboard(&self, id: &str, settings: Value) {
        let mut body = settings;
        body["id"] = json!(id);
        self.admin(Method::POST, "/api/leaderboards").json(&body).send().await.unwrap().error_for_status().unwrap();
        let action = value_action(id, id);
        self.admin(Method::POST, "/api/actions").json(&action).send().await.unwrap().error_for_status().unwrap();
    }
}

fn value_action(id: &str, leaderboard: &str) -> Value {
    json!({ "id": id, "leaderboards": [leaderboard], "value": { "min": -1_000_000, "max": 1_000_000 } })
}

/// The status and the JSON body of an answer.
pub async fn status_and_json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not JSON: {text}"));
    (status, json)
}

/// The user ids of a window, best first.
pub fn users(window: &Value) -> Vec<&str> {
    window["entries"].as_array().unwrap().iter().map(|entry| entry["userId"].as_str().unwrap()).collect()
}

/// Waits until a condition holds, for ten seconds at the most.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    within(10, what, condition).await;
}

/// Waits until a condition holds, for so many seconds at the most.
pub async fn within<F: Future<Output = bool>>(seconds: u64, what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not within {seconds} seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `make test`, or `make servers` and paste what it prints"))
}

/// A new, empty database on the test server.
async fn fresh_database() -> String {
    let url = required("TEST_DATABASE_URL");
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the test Postgres answers");
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let base = url.rsplit_once('/').expect("the URL names a database").0;
    format!("{base}/{name}")
}
