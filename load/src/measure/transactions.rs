//! How many transactions a Postgres has committed, for scenarios that must not cause any.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::reference::connect;

/// After so long every backend has told what it did (`PGSTAT_IDLE_INTERVAL`, and a little).
const TOLD: Duration = Duration::from_secs(11);

/// A connection that asks Postgres for its statistics.
pub struct Transactions {
    runtime: Runtime,
    client: Client,
}

impl Transactions {
    pub fn of(database_url: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(connect(database_url))?;
        Ok(Self { runtime, client })
    }

    /// Transactions so far. Takes eleven seconds.
    pub fn count(&self) -> anyhow::Result<i64> {
        sleep(TOLD);
        let sum = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        Ok(self.runtime.block_on(self.client.query_one(sum, &[]))?.get(0))
    }

    /// Transactions a second until now, given a count and when it was taken.
    pub fn rate_since(&self, (count, since): (i64, Instant)) -> anyhow::Result<f64> {
        Ok((self.count()? - count) as f64 / since.elapsed().as_secs_f64())
    }
}
