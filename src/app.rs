//! The composition root: settings become ledger, standings, feed and services, and those a running server. The only place that names
//! backends.

mod telemetry;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::future::OptionFuture;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub use telemetry::init_logging;

use crate::{
    config::Settings,
    config::{storage::StorageSettings, streams::StreamSettings},
    controllers::Services,
    domain::{ids::LeaderboardId, time::Clock},
    middleware::{self, authentication::Authentication, rate_limit::RateLimit, shortcut::Shortcut},
    repositories::{
        feed::Feed,
        ledger::{Ledger, LedgerError, LedgerSettings},
        memory::MemoryRanking,
        redis::{RedisSettings, RedisStore},
        standings::Standings,
    },
    router,
    server::{self, tls::Tls},
    services::{
        actions::Actions,
        announcer::Announcer,
        changes::Changes,
        definitions::DefinitionCache,
        health::Health,
        leaderboards::Leaderboards,
        rankings::Rankings,
        rebuild::Rebuilder,
        scores::Scores,
        streams::{
            Streams,
            admission::{Admission, Caps},
        },
        tokens::Tokens,
        tops::Tops,
        users::Users,
    },
    workers::{Workers, pruner, sweeper},
};

/// How long a start waits for a database that is not up yet.
const LEDGER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a start waits for Redis before it serves from the ledger instead.
const RANKING_PATIENCE: Duration = Duration::from_secs(2);
/// How long a start waits for rankings that have to be rebuilt; the rest is rebuilt while serving.
const REBUILD_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that are kept back from the streams, at the most; a tenth where there are few.
const MOST_KEPT_BACK: usize = 512;
/// How long a stop may take altogether, so that the process is gone within the ten seconds that orchestrators give it. All stages share
/// this time; these are the parts of it that each has to leave to those after it.
const STOP_WITHIN: Duration = Duration::from_secs(9);
const LEFT_BY_STREAMS: Duration = Duration::from_millis(4_600);
const LEFT_BY_REQUESTS: Duration = Duration::from_millis(1_500);
const LEFT_BY_COMMITTER: Duration = Duration::from_millis(1_000);
const LEFT_BY_WORKERS: Duration = Duration::from_millis(850);
/// Files that are kept back for the stores, the log and the like.
const RESERVED_FILES: u64 = 256;

/// The stores, opened.
pub struct Stores {
    pub ledger: Ledger,
    pub standings: Arc<dyn Standings>,
    pub feed: Arc<dyn Feed>,
    redis: Option<Arc<RedisStore>>,
}

impl Stores {
    /// Opens what the settings name and brings the ledger's schema up to date. `exclusive`: refuse an embedded ledger that a server has open.
    pub async fn open(settings: &StorageSettings, stream_history: u64, exclusive: bool) -> anyhow::Result<Self> {
        if let Some(contradiction) = settings.contradiction() {
            bail!(contradiction);
        }
        let ledger = open_ledger(settings, exclusive).await?;
        for migration in ledger.migrate().await.context("the ledger could not be migrated")? {
            tracing::info!(migration, "migrated");
        }
        let Some(url) = settings.redis_url() else {
            let memory = MemoryRanking::new(stream_history);
            return Ok(Self { ledger, standings: memory.clone(), feed: memory, redis: None });
        };
        let redis_settings = RedisSettings { url: url.to_owned(), stream_history };
        let redis = RedisStore::connect(&redis_settings, &ledger.installation_id().await?)?;
        if !redis.connected_within(RANKING_PATIENCE).await {
            tracing::warn!("Redis does not answer: serving from the ledger until it does");
        }
        Ok(Self { ledger, standings: redis.clone(), feed: redis.clone(), redis: Some(redis) })
    }

    /// Closes the connections to Redis, where there are any.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.shutdown().await;
        }
    }
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
                tracing::warn!(reason, "the ledger does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error).context("the ledger (DATABASE_URL) could not be opened"),
        }
    }
}

/// A server that is up.
pub struct Running {
    /// Where it listens; the port is the real one even where 0 was asked for.
    pub address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    /// Stops as on SIGTERM: not ready, streams end spread over a few seconds, open requests finish. Within ten seconds.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.ok();
    }
}

/// Starts a server and answers once it takes requests.
pub async fn start(settings: &Settings) -> anyhow::Result<Running> {
    let default_leaderboard = LeaderboardId::parse(&settings.storage.default_leaderboard)
        .map_err(|error| anyhow::anyhow!("DEFAULT_LEADERBOARD {error}"))?;
    let tokens = Tokens::configure(&settings.tokens, &settings.storage.data_dir)?;
    let internal_addr = settings.http.internal_addr()?;
    let tls = settings.http.tls_files()?.map(|(cert, key)| Tls::load(&cert, &key)).transpose()?;
    let trusted_proxies: Arc<[_]> = settings.http.trusted_proxies()?.into();
    // Bound first, so that a taken port is told before anything is opened; accepted from when all is ready.
    let listener = bind(settings.http.listen_addr)?;
    let address = listener.local_addr()?;
    let internal = internal_addr.map(bind).transpose()?;

    let stores = Stores::open(&settings.storage, settings.streams.stream_history, true).await?;
    let stop = CancellationToken::new();
    let mut workers = Workers::new(stop.clone());
    let built = build(settings, &stores, tokens, default_leaderboard, &mut workers).await?;

    let metrics = telemetry::metrics()?;
    workers.spawn("metrics upkeep", telemetry::upkeep(metrics.clone()));
    let limit = RateLimit::new(settings.http.rate_limit_per_second, settings.http.rate_limit_burst);
    workers.spawn("rate limit sweep", limit.clone().sweep());
    let shortcut = Shortcut::new(Arc::clone(&built.services), limit.clone(), Arc::clone(&trusted_proxies));
    let authentication = Authentication { services: Arc::clone(&built.services), trusted_proxies };
    let public_metrics = internal.is_none().then(|| metrics.clone());
    let routes = router::routes(Arc::clone(&built.services), authentication, &limit, public_metrics);
    let front = middleware::wrap(routes, Some(shortcut), &settings.http.cors_allowed_origins());

    let connections = settings.http.max_connections.unwrap_or_else(most_connections);
    if let Some(tls) = &tls {
        workers.spawn("certificate", Arc::clone(tls).keep_fresh());
    }
    let serving = tokio::spawn(server::serve(listener, tls, front, connections, stop.clone()));
    let serving_internal = internal.map(|listener| {
        let front = middleware::wrap(router::metrics_route(metrics), None, &[]);
        tokio::spawn(server::serve(listener, None, front, 64, stop.clone()))
    });
    tracing::info!(%address, ledger = stores.ledger.engine(), ranking = stores.standings.name(), "listening");

    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    let ended = tokio::spawn(async move {
        asked.cancelled().await;
        tracing::info!("stopping");
        let end = Instant::now() + STOP_WITHIN;
        built.draining.store(true, Ordering::Release);
        in_time(end - LEFT_BY_STREAMS, built.services.streams.drain(), "streams were cut off").await;
        stop.cancel();
        let serving = async { tokio::join!(serving, OptionFuture::from(serving_internal)) };
        in_time(end - LEFT_BY_REQUESTS, serving, "requests were cut off").await;
        // With the last handle on the score service gone, the committer answers what is queued and ends.
        drop(built.services);
        let unanswered = "submissions were left unanswered; what was committed is in the outbox";
        in_time(end - LEFT_BY_COMMITTER, built.committer, unanswered).await;
        in_time(end - LEFT_BY_WORKERS, workers.join(), "a worker did not stop").await;
        in_time(end, stores.close(), "the stores did not close").await;
        tracing::info!("stopped");
    });
    Ok(Running { address, shutdown, ended })
}

/// Waits for a stage of the stop for as long as it may take, and says what it means where that was not enough.
async fn in_time(until: Instant, stage: impl Future, otherwise: &str) {
    if tokio::time::timeout_at(until, stage).await.is_err() {
        tracing::warn!("{otherwise}");
    }
}

struct Built {
    services: Arc<Services>,
    committer: JoinHandle<()>,
    draining: Arc<AtomicBool>,
}

/// Wires the services together, sees to the default leaderboard and the rankings, and starts the long-lived tasks.
async fn build(
    settings: &Settings,
    stores: &Stores,
    tokens: Tokens,
    default_leaderboard: LeaderboardId,
    workers: &mut Workers,
) -> anyhow::Result<Built> {
    let Stores { ledger, standings, feed, .. } = stores;
    let clock = Clock::system();
    let definitions = DefinitionCache::load(ledger.clone()).await?;
    let rebuilder = Rebuilder::new(Arc::clone(standings), ledger.clone(), clock.clone());
    let changes = Arc::<Changes>::default();
    let rankings = Rankings::new(Arc::clone(standings), ledger.clone(), Arc::clone(&rebuilder), Arc::clone(&changes));
    let (announcer, delete_told) =
        Announcer::new(Arc::clone(standings), ledger.clone(), Arc::clone(&definitions), Arc::clone(&rebuilder), changes);
    let leaderboards = Leaderboards {
        ledger: ledger.clone(),
        definitions: Arc::clone(&definitions),
        announcer: Arc::clone(&announcer),
        rebuilder: Arc::clone(&rebuilder),
        rankings: Arc::clone(&rankings),
        feed: Arc::clone(feed),
        clock: clock.clone(),
    };
    leaderboards.ensure_default(&default_leaderboard).await?;
    prepare_rankings(&definitions, &rebuilder).await;

    let (scores, committer) = Scores::new(ledger.clone(), Arc::clone(&announcer), clock.clone());
    // Requests and health checks keep a share of the connections, however many watch.
    let connections = settings.http.max_connections.unwrap_or_else(most_connections);
    let in_all = connections.saturating_sub((connections / 10).min(MOST_KEPT_BACK)).max(1);
    let StreamSettings { streams_per_ip: per_address, streams_per_token: per_token, .. } = settings.streams;
    let admission = Admission::new(Caps { in_all, per_address, per_token });
    let streams = Streams::new(
        Arc::clone(standings),
        Arc::clone(feed),
        Arc::clone(&rankings),
        rebuilder,
        Arc::clone(&definitions),
        clock.clone(),
        admission,
    );
    let messages = feed.take_messages().context("the feed's messages are taken")?;
    workers.spawn("feed", Arc::clone(&streams).distribute(messages));
    workers.spawn("stream sweep", Arc::clone(&streams).sweep());
    workers.spawn("outbox deletion", delete_told);
    workers.spawn("outbox sweep", sweeper::run(ledger.clone(), Arc::clone(&announcer), clock.clone()));
    workers.spawn("key pruning", pruner::run(ledger.clone(), clock.clone()));
    if ledger.engine() == "postgres" {
        workers.spawn("definitions", Arc::clone(&definitions).keep_fresh());
    }

    let tops = Arc::new(Tops::new(Arc::clone(&rankings), Arc::clone(&streams)));
    workers.spawn("kept tops", Arc::clone(&tops).upkeep());
    let draining = Arc::new(AtomicBool::new(false));
    let health = Health { ledger: ledger.clone(), standings: Arc::clone(standings), draining: Arc::clone(&draining) };
    let services = Services {
        tokens,
        leaderboards,
        actions: Actions { ledger: ledger.clone(), definitions, clock: clock.clone() },
        users: Users { ledger: ledger.clone(), announcer, clock },
        scores,
        tops,
        rankings,
        streams,
        health,
        default_leaderboard: default_leaderboard.to_string(),
    };
    Ok(Built { services: Arc::new(services), committer: tokio::spawn(committer), draining })
}

/// Rebuilds the rankings that are not ready, and waits a little for them.
async fn prepare_rankings(definitions: &DefinitionCache, rebuilder: &Arc<Rebuilder>) {
    let definitions = definitions.current();
    let mut ends: Vec<_> = definitions.leaderboards.values().map(|leaderboard| rebuilder.kick(leaderboard.board())).collect();
    let all = futures_util::future::join_all(ends.iter_mut().map(|ended| ended.changed()));
    if tokio::time::timeout(REBUILD_PATIENCE, all).await.is_err() {
        tracing::warn!("rankings are still being rebuilt: serving from the ledger meanwhile");
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    server::listen(address).with_context(|| format!("cannot listen on {address}"))
}

/// What the limit of open files leaves for clients.
fn most_connections() -> usize {
    let files = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = files
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    usize::try_from(limit.unwrap_or(1024_u64).saturating_sub(RESERVED_FILES).max(64)).unwrap_or(usize::MAX).min(1 << 20)
}
