//! The plain alternatives: the limits that Scoreboard is held against, measured in the same run.

pub mod fanout;
pub mod fsync;
pub mod http;
pub mod pgbench;
pub mod sql;

use anyhow::ensure;
use tokio_postgres::{Client, Config, NoTls, config::Host};

/// Connects to a Postgres on this machine; the connection lives as long as the runtime.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let config: Config = url.parse()?;
    let local = |host: &Host| matches!(host, Host::Tcp(name) if matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"));
    ensure!(config.get_hosts().iter().all(local), "references load a Postgres on this machine only");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
