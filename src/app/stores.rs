//! Opens the stores that the settings name.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::{
    config::storage::StorageSettings,
    domain::time::Clock,
    repositories::{
        feed::Feed,
        ledger::{Ledger, LedgerError, LedgerSettings},
        memory::MemoryRanking,
        ranking_store::RankingStore,
        redis::{self, RedisSettings, RedisStore},
    },
    services::tenure::Tenure,
};

/// How long a start waits for a database that is not up yet.
const LEDGER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a start waits for Redis before it serves from the ledger instead.
const RANKING_PATIENCE: Duration = Duration::from_secs(2);

/// The open stores.
pub struct Stores {
    pub ledger: Ledger,
    pub ranking_store: Arc<dyn RankingStore>,
    pub feed: Arc<dyn Feed>,
    /// The owner of the rankings, if several ledgers may reach them.
    pub tenure: Option<Arc<Tenure>>,
    redis: Option<Arc<RedisStore>>,
}

impl Stores {
    /// Opens the stores in the settings and brings the ledger's schema up to date. `exclusive`: refuse an embedded ledger that
    /// a server has open, and create one if there is none; tools read the existing one.
    pub async fn open(settings: &StorageSettings, stream_history: u64, clock: &Clock, exclusive: bool) -> anyhow::Result<Self> {
        check_addresses(settings)?;
        if let Some(path) = settings.database_url().strip_prefix("sqlite://").filter(|_| !exclusive)
            && !Path::new(path).exists()
        {
            bail!("there is no ledger at {path}: set DATABASE_URL, or DATA_DIR to the server's directory");
        }
        let ledger = open_ledger(settings, exclusive).await?;
        for migration in ledger.migrate().await.context("the ledger could not be migrated")? {
            tracing::info!(migration, "migrated");
        }
        let Some(url) = settings.redis_url() else {
            let memory = MemoryRanking::new(stream_history, clock.clone());
            return Ok(Self { ledger, ranking_store: memory.clone(), feed: memory, tenure: None, redis: None });
        };
        if ledger.settle_in().await? {
            tracing::warn!(
                "this ledger is a copy of another one: it takes on an id of its own, under which its rankings are built anew"
            );
        }
        let redis_settings = RedisSettings { url: url.to_owned(), stream_history };
        let id = ledger.installation_id().await?;
        let store = RedisStore::connect(&redis_settings, &id, clock.clone())?;
        if !store.connected_within(RANKING_PATIENCE).await {
            if let Some(refusal) = redis::refusal(url).await {
                bail!("REDIS_URL: the Redis refuses the connection: {refusal}");
            }
            tracing::warn!("Redis does not answer: serving from the ledger until it does");
        }
        let tenure = exclusive.then(|| Tenure::new(ledger.clone(), store.clone(), id));
        Ok(Self { ledger, ranking_store: store.clone(), feed: store.clone(), tenure, redis: Some(store) })
    }

    /// Closes the connections to Redis, if there are any.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.shutdown().await;
        }
    }
}

/// Opens the ledger for a tool that writes to it, beside a server or without one, with its schema up to date. An embedded one is created if there is none.
pub async fn open_for_a_tool(settings: &StorageSettings) -> anyhow::Result<Ledger> {
    settings.check()?;
    let missing = settings.database_url().strip_prefix("sqlite://").is_some_and(|path| !Path::new(path).exists());
    let ledger = open_ledger(settings, missing).await?;
    ledger.migrate().await.context("the ledger could not be migrated")?;
    Ok(ledger)
}

/// Refuses addresses of stores that can never work, before anything is opened.
pub(super) fn check_addresses(settings: &StorageSettings) -> anyhow::Result<()> {
    settings.check()?;
    settings.redis_url().map(redis::check_url).transpose().context("REDIS_URL")?;
    Ok(())
}

/// Opens the ledger; waits for a Postgres that is still starting.
async fn open_ledger(settings: &StorageSettings, exclusive: bool) -> anyhow::Result<Ledger> {
    let url = settings.database_url();
    let ledger_settings = LedgerSettings { url: url.clone(), max_connections: settings.database_max_connections, exclusive };
    let deadline = Instant::now() + LEDGER_PATIENCE;
    loop {
        match Ledger::connect(&ledger_settings).await {
            Ok(ledger) => return Ok(ledger),
            Err(LedgerError::Unavailable(reason)) if !url.starts_with("sqlite:") && Instant::now() < deadline => {
                tracing::warn!(%reason, "the ledger does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error).context(settings.ledger_setting()),
        }
    }
}
