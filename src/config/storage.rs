//! Where scores are kept and where rankings are cached.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;

use super::{given, parse};

/// The ledger, the ranking cache, and the directory for what the server keeps for itself.
#[derive(Debug, Clone, Args)]
pub struct StorageSettings {
    /// The ledger: `sqlite://path` or `postgres://user:password@host/database`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Connections to Postgres at the most.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 10, value_parser = parse::positive::<usize>)]
    pub database_max_connections: usize,
    /// The ranking cache and feed: `redis://`, `rediss://`, `redis-cluster://` or `redis-sentinel://`. Not set: both are kept
    /// in this process, and there may be only one instance.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Where the embedded database and a generated secret are kept; made if missing.
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// The leaderboard that is made at the first start, where there is none, and that the short paths stand for.
    #[arg(long, env = "DEFAULT_LEADERBOARD", default_value = "main")]
    pub default_leaderboard: String,
}

impl StorageSettings {
    /// The ledger's address; without one, a SQLite file in the data directory.
    pub fn database_url(&self) -> String {
        match given(&self.database_url) {
            Some(url) => url.to_owned(),
            None => format!("sqlite://{}", self.data_dir.join("scoreboard.db").display()),
        }
    }

    /// Which setting says where the ledger is, for whoever reads that it could not be opened.
    pub fn ledger_setting(&self) -> &'static str {
        match given(&self.database_url) {
            Some(_) => "the ledger (DATABASE_URL) could not be opened",
            None => "the ledger (in DATA_DIR, as DATABASE_URL is not set) could not be opened",
        }
    }

    /// The ranking cache's address, where there is one.
    pub fn redis_url(&self) -> Option<&str> {
        given(&self.redis_url)
    }

    /// Refuses an address that no ledger can have, and stores that do not go together. No message repeats an address: it may hold a password.
    pub fn check(&self) -> anyhow::Result<()> {
        let database = self.database_url();
        let embedded = match scheme(&database) {
            Some("sqlite") => true,
            Some("postgres" | "postgresql") => false,
            other => bail!(
                "DATABASE_URL is {}, and the ledger is kept at sqlite://path or postgres://user:password@host/database",
                other.map_or_else(|| "no address".to_owned(), |scheme| format!("a {scheme}:// address"))
            ),
        };
        ensure!(
            !(embedded && self.redis_url().is_some()),
            "REDIS_URL is set but DATABASE_URL is not a postgres:// address: Redis is shared by instances, an SQLite file is not. \
             Set DATABASE_URL to a Postgres database, or leave REDIS_URL away to rank and stream in this process."
        );
        Ok(())
    }
}

/// What stands before `://`.
fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").map(|(scheme, _)| scheme)
}
