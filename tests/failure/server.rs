//! `scoreboard serve` as a child process that can be killed and started again on the same stores and the same port.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ports::free_port;

const SECRET: &str = "a-secret-of-32-bytes-for-the-tests!!";
/// Everything that the program reads from its environment is taken away, so that a test does not depend on where it runs.
const SETTINGS: [&str; 11] = [
    "DATABASE_URL",
    "REDIS_URL",
    "JWT_SECRET",
    "SESSION_SECRET",
    "JWT_PUBLIC_KEY_FILE",
    "DATA_DIR",
    "LISTEN_ADDR",
    "INTERNAL_ADDR",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "RUST_LOG",
];

/// Where the child keeps its data.
#[derive(Debug, Clone, Default)]
pub struct Stores {
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
}

/// The child and what is needed to start it again. Killed when it goes out of scope.
pub struct Server {
    pub port: u16,
    pub directory: PathBuf,
    stores: Stores,
    /// Further settings, from the next start on.
    settings: BTreeMap<&'static str, String>,
    /// How many files the process may have open, from the next start on.
    files: Option<u64>,
    child: Option<Child>,
    http: reqwest::Client,
    token: String,
}

impl Server {
    /// Starts a server on fresh embedded stores, with the actions `point` (1 point) and `value` (0 to 1000) on the leaderboard `main`.
    pub async fn embedded() -> Self {
        Self::on(Stores::default()).await
    }

    /// The same on these stores, which have to be empty.
    pub async fn on(stores: Stores) -> Self {
        Self::prepare(stores).with_actions().await
    }

    /// A prepared one, started for the first time, with those actions.
    pub async fn with_actions(mut self) -> Self {
        self.run().await;
        for action in [json!({ "id": "point", "points": 1 }), json!({ "id": "value", "value": { "min": 0, "max": 1000 } })] {
            let mut action = action;
            action["leaderboards"] = json!(["main"]);
            self.request(Method::POST, "/api/actions").json(&action).send().await.unwrap().error_for_status().unwrap();
        }
        self
    }

    /// A server that does not run yet.
    pub fn prepare(stores: Stores) -> Self {
        let directory = std::env::temp_dir().join(format!("scoreboard-failure-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let port = free_port();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let settings = BTreeMap::new();
        let mut server = Self { port, directory, stores, settings, files: None, child: None, http, token: String::new() };
        let scope = "scores:write leaderboards:admin leaderboards:read moderation:write audit:read";
        let printed = server.command(&["token", "--sub", "game", "--scope", scope]);
        assert!(printed.status.success(), "{}", said(&printed));
        server.token = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
        server
    }

    /// Sets an environment variable, from the next start on.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.insert(name, value.into());
    }

    /// Lets the process have so many files open, from the next start on.
    pub fn limit_files(&mut self, files: u64) {
        self.files = Some(files);
    }

    /// Starts the process and waits until it answers.
    pub async fn run(&mut self) {
        self.spawn();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !matches!(self.anonymous(Method::GET, "/livez").send().await, Ok(answer) if answer.status() == StatusCode::OK) {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the server does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the process, which may be over before it answers.
    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        let mut command = self.program(&["serve"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, as a deploy sends it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the process this signal: `STOP` lets nothing happen until `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("the server runs").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// How the process ended, where it does so in time.
    pub async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        let child = self.child.as_mut().expect("the server was started");
        loop {
            match child.try_wait().unwrap() {
                Some(status) => {
                    self.child = None;
                    return Some(status);
                }
                None if Instant::now() >= deadline => return None,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Runs `scoreboard` with these words and this server's settings, to its end.
    pub fn command(&self, words: &[&str]) -> Output {
        self.program(words).output().unwrap()
    }

    /// The same without keeping other tasks of this test waiting.
    pub async fn command_beside(&self, words: &[&str]) -> Output {
        let mut program = self.program(words);
        tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap()
    }

    /// `scoreboard verify`, which has to find nothing.
    pub async fn assert_verified(&self) {
        let output = self.command_beside(&["verify"]).await;
        assert!(output.status.success(), "{}\n{}", said(&output), self.log());
    }

    fn program(&self, words: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_scoreboard");
        let mut command = Command::new(if self.files.is_some() { "sh" } else { program });
        if let Some(files) = self.files {
            command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), program]);
        }
        for name in SETTINGS {
            command.env_remove(name);
        }
        command.args(words).current_dir(&self.directory).stdin(Stdio::null());
        command.env("DATA_DIR", &self.directory).env("JWT_SECRET", SECRET);
        command.env("LISTEN_ADDR", format!("127.0.0.1:{}", self.port));
        command.envs(&self.settings);
        for (name, url) in [("DATABASE_URL", &self.stores.database_url), ("REDIS_URL", &self.stores.redis_url)] {
            command.envs(url.iter().map(|url| (name, url)));
        }
        command
    }

    /// Bytes of memory that the process occupies at this moment.
    pub fn memory(&self) -> u64 {
        let pid = self.child.as_ref().expect("the server runs").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
        1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    }

    /// The ports of the clients that are connected at this moment.
    pub fn clients(&self) -> Vec<u16> {
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // The server's own end of what is established.
        let (server, established) = (format!("0100007F:{:04X}", self.port), "01");
        let fields = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let served = fields.filter(|fields| fields[1] == server && fields[3] == established);
        served.map(|fields| u16::from_str_radix(&fields[2][9..], 16).unwrap()).collect()
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A token that may do everything.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// A request with a token that may do everything.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// Gets JSON, which has to succeed.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Submits one point, which has to succeed, and answers the receipt.
    pub async fn post_point(&self, user: &str) -> Value {
        let body = json!({ "actionId": "point", "userId": user });
        let response = self.request(Method::POST, "/api/scores").json(&body).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Another instance on other stores, or on the same ones, which has to find its actions there.
    pub async fn beside(&self, stores: Stores) -> Self {
        let mut other = Self::prepare(stores);
        other.run().await;
        other
    }

    /// The number that a metric has.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let of_name = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Where a read of the window is served from.
    pub async fn served_from(&self) -> String {
        let response = self.request(Method::GET, "/api/leaderboard").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.headers()["cache-status"].to_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
        self.kill();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// What a command printed.
pub fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until a condition holds, for so long at the most.
pub async fn within<F: Future<Output = bool>>(patience: Duration, what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
