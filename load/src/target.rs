//! Where the server is, and the leaderboard that a scenario plays on.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::runtime;

use crate::http::{connection::Connection, request::Template};

/// The most points that a prefilled user has.
pub const MOST_POINTS: u64 = 1_000_000;

/// Display names begin with one of these.
const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Alan",
    "Anna",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Emmy",
    "Grace",
    "John",
    "Katherine",
    "Leslie",
    "Margaret",
    "Mary",
    "Niklaus",
    "Radia",
];

/// The display name of user `u-USER`.
pub fn name_of(user: u64) -> String {
    format!("{} {}", FIRST_NAMES[user as usize % FIRST_NAMES.len()], user / FIRST_NAMES.len() as u64)
}

/// The server and the leaderboard.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The server, on this machine.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A token with `scores:write leaderboards:admin`.
    #[arg(long, env = "SCOREBOARD_TOKEN", hide_env_values = true, default_value = "")]
    pub token: String,
    /// Made where it is missing, with the actions `NAME.point` (one point) and `NAME.points` (as many as the value says).
    #[arg(long, default_value = "load")]
    pub leaderboard: String,
}

impl Target {
    /// The server as a `Host` header names it.
    pub fn server(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// The server's address; refuses any but loopback.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let address = self.server().to_socket_addrs().with_context(|| format!("no address: {}", self.url))?.next();
        let address = address.with_context(|| format!("no address: {}", self.url))?;
        ensure!(address.ip().is_loopback(), "load goes to loopback only, not to {address}");
        Ok(address)
    }

    /// Makes the leaderboard and its actions where they are missing.
    pub fn prepare(&self) -> anyhow::Result<()> {
        let id = &self.leaderboard;
        let one = json!({ "id": format!("{id}.point"), "leaderboards": [id], "points": 1 });
        let many = json!({ "id": format!("{id}.points"), "leaderboards": [id], "value": { "min": 0, "max": MOST_POINTS } });
        for (path, body) in [("/api/leaderboards", json!({ "id": id })), ("/api/actions", one), ("/api/actions", many)] {
            let mut request = Vec::new();
            Template::post(self, path).write(&mut request, None, &serde_json::to_vec(&body)?);
            let (status, answer) = self.once(&request)?;
            ensure!(matches!(status, 200..300 | 409), "{path}: {status} {answer}");
        }
        Ok(())
    }

    /// What a path answers to anyone.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.get_as(path, "")
    }

    /// What a path answers to the bearer of the token.
    pub fn get_with_token(&self, path: &str) -> anyhow::Result<Value> {
        self.get_as(path, &format!("authorization: Bearer {}\r\n", self.token))
    }

    fn get_as(&self, path: &str, authorization: &str) -> anyhow::Result<Value> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{authorization}\r\n", self.server());
        let (status, answer) = self.once(request.as_bytes())?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer)
    }

    /// One request on a connection of its own.
    fn once(&self, request: &[u8]) -> anyhow::Result<(u16, Value)> {
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut connection = Connection::open(self.address()?, 0).await?;
            let answer = connection.exchange(request).await?;
            Ok((answer.status, serde_json::from_slice(answer.body).unwrap_or_default()))
        })
    }
}
