//! The composition root: turns settings into ledger, ranking store, feed and services, and those into a running server. The
//! only place that names backends.

mod accounts;
mod limits;
mod metric_help;
mod preparation;
mod stores;
mod telemetry;
mod upkeep;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use futures_util::future::OptionFuture;
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use limits::Limits;
pub use stores::{Stores, open_for_a_tool};
pub use telemetry::{USUAL, init_logging};

use crate::{
    config::Settings,
    controllers::operations::Metrics,
    controllers::page::PageSettings,
    domain::{caller::Caller, ids::LeaderboardId, time::Clock},
    middleware::{self, authentication::Authentication, cors::Cors, fast_path::FastPath, rate_limit::RateLimit},
    repositories::private,
    router,
    server::{self, Clients, Room, tls::Tls},
    services::{
        Services,
        actions::Actions,
        announcer::{Announcer, Parts},
        api_keys::ApiKeys,
        audit::Audit,
        backlog::Backlog,
        boundaries::Boundaries,
        census::Census,
        changes::Changes,
        credentials::Credentials,
        definitions::DefinitionCache,
        health::Health,
        hidden::Hidden,
        history::History,
        inspection::Inspection,
        latest::LatestScores,
        leaderboards::Leaderboards,
        moderation::Moderation,
        ranking_reader::RankingReader,
        rebuild::Rebuilder,
        reviews::Reviews,
        runs::{RunTokens, Runs},
        scores::Scores,
        search::Search,
        seasons::Seasons,
        secrets::RootSecret,
        streams::{Sources, Streams, admission::Admission},
        tokens::Tokens,
        top_cache::TopCache,
        turns::Turns,
        users::Users,
    },
    supervisor::{Broken, supervised_as},
    workers::{Workers, boundaries},
};

/// How long a stop may take in all, so that the process is gone within the ten seconds that orchestrators give it. All stages
/// share this time; the constants below are what each stage has to leave to the later ones.
const STOP_WITHIN: Duration = Duration::from_secs(9);
const LEFT_BY_STREAMS: Duration = Duration::from_millis(4_600);
const LEFT_BY_REQUESTS: Duration = Duration::from_millis(1_500);
const LEFT_BY_COMMITTER: Duration = Duration::from_millis(1_000);
const LEFT_BY_WORKERS: Duration = Duration::from_millis(850);
/// The limits of connections to the address for `/metrics` alone.
const INTERNAL: Room = Room { in_all: 64, per_address: 64 };

/// A running server.
pub struct Running {
    /// Where it listens; the port is the actual one even if 0 was requested.
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

/// Starts a server and returns once it accepts requests. All its times come from this clock, [`Clock::system`] or, in tests,
/// [`Clock::over`] another one, which applies the rules of the server's time to it.
pub async fn start(settings: &Settings, clock: Clock) -> anyhow::Result<Running> {
    stores::check_addresses(&settings.storage)?;
    let default_leaderboard = LeaderboardId::parse(&settings.storage.default_leaderboard)
        .map_err(|error| anyhow::anyhow!("DEFAULT_LEADERBOARD {error}"))?;
    let tokens = Tokens::configure(&settings.tokens, &settings.storage.data_dir)?;
    let root = RootSecret::configure(&settings.tokens, &settings.storage.data_dir)?;
    if settings.storage.redis_url().is_some() && settings.tokens.are_of_this_instance() {
        tracing::warn!(
            "tokens are signed with a secret of this instance alone, and others refuse them: give all the same JWT_SECRET"
        );
    }
    let runs = Arc::new(RunTokens::new(root.as_ref()));
    let plan = accounts::Plan::of(settings)?;
    let internal_addr = settings.http.internal_addr()?;
    let tls = settings.http.tls_files()?.map(|(cert, key)| Tls::load(&cert, &key)).transpose()?;
    let trusted_proxies: Arc<[_]> = settings.http.trusted_proxies()?.into();
    let [allowed, public_read] = settings.http.origins()?;
    let public_url = settings.accounts.public_url()?.map(|url| url.as_str().trim_end_matches('/').to_owned());
    let pages = PageSettings::new(public_url, &settings.http.frame_ancestors()?);
    // Bound first, so that a port in use is reported before anything is opened; connections are accepted when all is ready.
    let listener = bind("LISTEN_ADDR", settings.http.listen_addr)?;
    let address = listener.local_addr()?;
    let internal = internal_addr.map(|address| bind("INTERNAL_ADDR", address)).transpose()?;
    private::tighten_directory(&settings.storage.data_dir);

    let stores = Stores::open(&settings.storage, settings.streams.stream_history, &clock, true).await?;
    let stop = CancellationToken::new();
    let broken = Broken::default();
    let mut workers = Workers::new(stop.clone(), broken.clone());
    let limits = Limits::of(settings);
    // Boxed: the futures in there are nested too deeply for the type of a caller's future.
    let built =
        Box::pin(build(limits, &stores, (tokens, runs, plan), default_leaderboard, clock, &mut workers, broken.clone())).await?;

    let handle = telemetry::metrics()?;
    let metrics = Metrics { handle: handle.clone(), public: internal.is_none(), services: Arc::downgrade(&built.services) };
    workers.spawn("metrics upkeep", move || telemetry::upkeep(handle.clone()));
    let limit = RateLimit::new(settings.http.rate_limit_per_second, settings.http.rate_limit_burst);
    let swept = limit.clone();
    workers.spawn("rate limit sweep", move || swept.clone().sweep());
    let fast_path = FastPath::new(Arc::clone(&built.services), limit.clone(), Arc::clone(&trusted_proxies));
    let clients = Clients { room: limits.room, trusted_proxies: Arc::clone(&trusted_proxies) };
    let authentication = Authentication { services: Arc::clone(&built.services), trusted_proxies, tls: tls.is_some() };
    let public_metrics = internal.is_none().then(|| metrics.clone());
    let routes = router::routes(Arc::clone(&built.services), authentication, &limit, public_metrics, pages);
    let front = middleware::wrap(routes, Some(fast_path), Some(&Cors::new(allowed, public_read)));

    if let Some(tls) = &tls {
        let tls = Arc::clone(tls);
        workers.spawn("certificate", move || Arc::clone(&tls).keep_fresh());
    }
    let serving = tokio::spawn(server::serve(listener, tls, front, clients, stop.clone(), broken.clone()));
    let serving_internal = internal.map(|listener| {
        let front = middleware::wrap(router::metrics_route(metrics), None, None);
        let clients = Clients { room: INTERNAL, trusted_proxies: [].into() };
        tokio::spawn(server::serve(listener, None, front, clients, stop.clone(), broken))
    });
    tracing::info!(%address, ledger = stores.ledger.engine(), ranking = stores.ranking_store.name(), "listening");

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
        // The committer answers what is queued, and ends.
        built.services.scores.close();
        drop(built.services);
        let unanswered = "submissions were left unanswered; what was committed is in the outbox";
        in_time(end - LEFT_BY_COMMITTER, built.committer, unanswered).await;
        in_time(end - LEFT_BY_WORKERS, workers.join(), "a worker did not stop").await;
        in_time(end, stores.close(), "the stores did not close").await;
        tracing::info!("stopped");
    });
    Ok(Running { address, shutdown, ended })
}

/// Waits for a stage of the stop up to its time limit, and logs the consequence if that was not enough.
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

/// Wires the services together, prepares the default leaderboard and the rankings, and starts the long-lived tasks.
async fn build(
    limits: Limits,
    stores: &Stores,
    (tokens, run_tokens, plan): (Tokens, Arc<RunTokens>, Option<accounts::Plan>),
    default_leaderboard: LeaderboardId,
    clock: Clock,
    workers: &mut Workers,
    broken: Broken,
) -> anyhow::Result<Built> {
    let Stores { ledger, ranking_store, feed, .. } = stores;
    if let Some(newest) = ledger.newest_time().await? {
        clock.witness(newest);
    }
    let definitions = DefinitionCache::load(ledger.clone(), Arc::clone(feed)).await?;
    let changes = Arc::<Changes>::default();
    let backlog = Backlog::new(Arc::clone(&changes));
    let rebuilder = Rebuilder::new(Arc::clone(ranking_store), ledger.clone(), clock.clone(), Arc::clone(&backlog));
    let turns = Arc::new(Turns::new(ledger.readers_at_once()));
    let rankings = RankingReader::new(
        Arc::clone(ranking_store),
        ledger.clone(),
        Arc::clone(&rebuilder),
        Arc::clone(&changes),
        Arc::clone(&turns),
    );
    let announcer = Announcer::new(Parts {
        ranking_store: Arc::clone(ranking_store),
        feed: Arc::clone(feed),
        ledger: ledger.clone(),
        definitions: Arc::clone(&definitions),
        rebuilder: Arc::clone(&rebuilder),
        backlog: Arc::clone(&backlog),
        changes,
    });
    let inspection = Arc::new(Inspection {
        ranking_store: Arc::clone(ranking_store),
        ledger: ledger.clone(),
        definitions: Arc::clone(&definitions),
        rebuilder: Arc::clone(&rebuilder),
        backlog: Arc::clone(&backlog),
        tenure: stores.tenure.clone(),
        patience: Mutex::default(),
        appearances: Mutex::default(),
    });
    let boundaries = Boundaries::new(ledger.clone(), Arc::clone(&definitions), Arc::clone(&announcer), clock.clone());
    let leaderboards = Leaderboards {
        ledger: ledger.clone(),
        definitions: Arc::clone(&definitions),
        announcer: Arc::clone(&announcer),
        boundaries: Arc::clone(&boundaries),
        rebuilder: Arc::clone(&rebuilder),
        rankings: Arc::clone(&rankings),
        feed: Arc::clone(feed),
        census: Census::new(Arc::clone(&rankings), Arc::clone(feed)),
        clock: clock.clone(),
    };
    leaderboards.ensure_default(&Caller::Server, &default_leaderboard).await?;
    preparation::of_rankings(&inspection, &definitions, &rebuilder).await;

    let (scores, committer) =
        Scores::new(ledger.clone(), Arc::clone(&announcer), Arc::clone(&boundaries), clock.clone(), Arc::clone(&run_tokens));
    let moderation = Arc::new(Moderation {
        ledger: ledger.clone(),
        definitions: Arc::clone(&definitions),
        announcer: Arc::clone(&announcer),
        boundaries: Arc::clone(&boundaries),
        clock: clock.clone(),
    });
    let turning = Arc::clone(&boundaries);
    workers.spawn("boundaries", move || boundaries::run(Arc::clone(&turning)));
    let api_keys = Arc::new(ApiKeys::new(ledger.clone(), Arc::clone(&definitions), clock.clone(), Arc::clone(&turns)));
    let used = Arc::clone(&api_keys);
    workers.spawn("uses of API keys", move || Arc::clone(&used).write_uses());
    for source in tokens.sources() {
        let source = Arc::clone(source);
        workers.spawn("published keys", move || Arc::clone(&source).keep_fresh());
    }
    let accounts::Built { accounts, sessions, postman } = accounts::build(plan, ledger, &clock, &turns, workers).await?;
    let credentials = Arc::new(Credentials { tokens, keys: Arc::clone(&api_keys), sessions });
    let admission = Admission::new(limits.caps);
    let sources = Sources {
        ranking_store: Arc::clone(ranking_store),
        feed: Arc::clone(feed),
        rankings: Arc::clone(&rankings),
        rebuilder,
        definitions: Arc::clone(&definitions),
        clock: clock.clone(),
    };
    let streams = Streams::new(sources, Arc::clone(&credentials), admission);
    let messages = feed.take_messages().context("the feed's messages are taken")?;
    let fan_out = (Arc::clone(&streams), Arc::new(tokio::sync::Mutex::new(messages)));
    let announcing = (Arc::clone(&announcer), Arc::clone(&backlog), Arc::clone(&moderation), postman);
    upkeep::spawn(workers, ledger, &clock, fan_out, announcing, inspection, &definitions);

    let tops = Arc::new(TopCache::new(Arc::clone(&rankings), Arc::clone(&streams)));
    let kept = Arc::clone(&tops);
    workers.spawn("kept tops", move || Arc::clone(&kept).upkeep());
    let draining = Arc::new(AtomicBool::new(false));
    let health = Health {
        clock: clock.clone(),
        ledger: ledger.clone(),
        ranking_store: Arc::clone(ranking_store),
        backlog,
        broken: broken.clone(),
        draining: Arc::clone(&draining),
    };
    let committer = tokio::spawn(async move { supervised_as("committer", &broken, committer).await });
    let seasons = Arc::new(Seasons {
        ledger: ledger.clone(),
        definitions: Arc::clone(&definitions),
        announcer: Arc::clone(&announcer),
        boundaries,
        rankings: Arc::clone(&rankings),
        clock: clock.clone(),
        turns: Arc::clone(&turns),
    });
    let services = Services {
        credentials,
        api_keys,
        accounts,
        leaderboards,
        actions: Actions {
            ledger: ledger.clone(),
            definitions: Arc::clone(&definitions),
            clock: clock.clone(),
            runs: Arc::clone(&run_tokens),
        },
        reviews: Reviews { ledger: ledger.clone(), moderation: Arc::clone(&moderation), turns: Arc::clone(&turns) },
        runs: Runs { tokens: run_tokens, definitions: Arc::clone(&definitions), clock: clock.clone() },
        audit: Audit { ledger: ledger.clone(), turns: Arc::clone(&turns) },
        moderation,
        search: Search::new(ledger.clone(), Arc::clone(&rankings), Arc::clone(&seasons), Arc::clone(&turns)),
        seasons,
        hidden: Hidden { ledger: ledger.clone(), turns: Arc::clone(&turns) },
        history: History { ledger: ledger.clone(), turns: Arc::clone(&turns) },
        latest: LatestScores::new(Arc::clone(&rankings), Arc::clone(feed), ledger.clone(), Arc::clone(&turns)),
        users: Users { ledger: ledger.clone(), announcer, clock, turns },
        scores,
        tops,
        rankings,
        streams,
        health,
        default_leaderboard: default_leaderboard.to_string(),
    };
    Ok(Built { services: Arc::new(services), committer, draining })
}

fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    server::listen(address).with_context(|| format!("{setting}: cannot listen on {address}"))
}
