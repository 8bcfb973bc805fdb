//! The ranking shared by any number of instances: what `app` builds if `REDIS_URL` is set. This file holds the connections and
//! the path of a call; `redis::ranking_store` and `redis::feed` implement the two ports for the store made here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::{
        Builder, ClusterHash, CustomCommand, RespVersion, Value,
        config::{Config, Options, ReconnectPolicy, TcpConfig},
    },
    util::redis_keyslot,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    keys::{HOLDER, INSTALLATION, Keys, PROBE},
    reply::{is_answer, unreadable},
    scripts::Script,
    subscription::Subscription,
    watch::{answers, watch},
};
use super::{breaker::Breaker, feed::feed_sender::FeedSender, ranking_store::RankingError};
use crate::{domain::time::Clock, supervisor::supervised};

mod feed;
mod keys;
mod ranking_store;
mod record;
mod reply;
mod scripts;
mod subscription;
mod watch;

/// How long a call may take in all, including the wait for a permit.
const CALL_WITHIN: Duration = Duration::from_millis(800);

/// How long the diagnosis of a failed connection may take.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// How much of that time a call must have had for its time-out to mean that the server hangs, and how long a probe may take.
const FAIR_TIME: Duration = Duration::from_millis(500);

/// Calls of each lane that may be in flight at once. The client's own queue is unbounded, so this is the bound; further calls
/// wait for a permit until their time is up. All reads of a lane together take the server some milliseconds: with more of them,
/// an announcement that comes behind them would have to wait.
const ANNOUNCING: usize = 64;
const REBUILDING: usize = 8;
const READING: usize = 128;
const READING_WIDELY: usize = 4;

/// How long a written probe key lives, in milliseconds.
const PROBE_MS: i64 = 60_000;

/// Messages that may wait for the draining task, which does next to nothing for each. When it is full the oldest are dropped,
/// and the task learns of it.
const PENDING_MESSAGES: usize = 8192;

/// The Redis settings that `app` passes.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://`, `rediss://`, `redis-cluster://`, `redis-sentinel://`.
    pub url: String,
    /// The least number of the latest events that each board stores.
    pub stream_history: u64,
}

/// The URL does not name a Redis that this program can reach. The message does not repeat the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the Redis URL is not usable: {0}")]
pub struct InvalidRedisUrl(String);

/// The purpose of a call. Each lane has permits of its own, and writes have a connection of their own, so that no crowd of
/// readers delays an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Announce,
    Rebuild,
    Read,
    /// A read of so many rows that the server is busy with it for a noticeable time.
    ReadWidely,
}

/// A connection, which pipelines calls by itself, and its permits.
struct Track {
    client: Client,
    turns: Semaphore,
}

/// Both ports on one Redis: a connection for writes, one for reads, and one for subscriptions.
pub struct RedisStore {
    /// By [`Lane`].
    tracks: [Track; 4],
    /// Set while it is not settled which ledger owns the rankings: calls are refused.
    closed: AtomicBool,
    pub(super) subscription: Arc<Subscription>,
    pub(super) feed_sender: Arc<FeedSender>,
    pub(super) keys: Keys,
    pub(super) stream_history: u64,
    /// Random for each process: identifies the instance in watcher records.
    pub(super) instance: String,
    pub(super) clock: Clock,
    breaker: Arc<Breaker>,
    /// The draining task, the watch and the probe, and the connections' own tasks: all end with the store.
    _tasks: [AbortOnDropHandle<()>; 3],
    _connections: [AbortOnDropHandle<Result<(), Error>>; 3],
}

/// Refuses a URL that does not name a Redis.
pub fn check_url(url: &str) -> Result<(), InvalidRedisUrl> {
    builder(url).map(drop)
}

/// Why the Redis at this URL refuses this program: waiting does not help against a wrong password. `None` if it does not
/// refuse, or does not answer.
pub async fn refusal(url: &str) -> Option<String> {
    let client = builder(url).ok()?.set_policy(ReconnectPolicy::new_constant(1, 0)).build().ok()?;
    let asked = timeout(FIRST_ANSWER, client.init()).await.ok()?;
    match asked {
        Ok(_) => client.quit().await.err().and(None),
        Err(error) => (*error.kind() == ErrorKind::Auth).then(|| error.details().to_owned()),
    }
}

impl RedisStore {
    /// Starts connecting and returns at once; until the Redis is reached, calls fail fast. Must be called within a tokio
    /// runtime.
    pub fn connect(settings: &RedisSettings, installation_id: &str, clock: Clock) -> Result<Arc<Self>, InvalidRedisUrl> {
        let builder = builder(&settings.url)?;
        let unusable = |error: Error| InvalidRedisUrl(error.details().to_owned());
        let [writer, reader] = [builder.build().map_err(unusable)?, builder.build().map_err(unusable)?];
        let subscriber = builder.build_subscriber_client().map_err(unusable)?;
        let (keys, feed_sender) = (Keys::new(installation_id), Arc::new(FeedSender::new()));
        let subscription = Subscription::new(subscriber, keys.clone(), feed_sender.clone());
        let breaker = Breaker::new("redis", FAIR_TIME);
        let (drained, watched) = (subscription.clone(), [writer.clone(), reader.clone()]);
        let (listener, probed, probing) = (subscription.clone(), writer.clone(), breaker.clone());
        let tasks = [
            tokio::spawn(supervised("redis messages", move || drained.clone().drain())),
            tokio::spawn(supervised("redis watch", move || watch(watched.clone(), listener.clone()))),
            tokio::spawn(supervised("redis probe", move || {
                let probed = probed.clone();
                probing.clone().probe(move || answers(probed.clone(), FAIR_TIME))
            })),
        ];
        let connections = [writer.connect(), reader.connect(), subscription.client.connect()];
        let track = |client: &Client, turns| Track { client: client.clone(), turns: Semaphore::new(turns) };
        Ok(Arc::new(Self {
            tracks: [
                track(&writer, ANNOUNCING),
                track(&writer, REBUILDING),
                track(&reader, READING),
                track(&reader, READING_WIDELY),
            ],
            closed: AtomicBool::new(false),
            subscription,
            feed_sender,
            keys,
            stream_history: settings.stream_history,
            instance: uuid::Uuid::new_v4().simple().to_string(),
            clock,
            breaker,
            _tasks: tasks.map(AbortOnDropHandle::new),
            _connections: connections.map(AbortOnDropHandle::new),
        }))
    }

    /// Waits until all connections are established, and returns whether they are. Optional: it spares the first calls after a
    /// start a refusal.
    pub async fn connected_within(&self, patience: Duration) -> bool {
        let [writer, reader] = self.clients();
        let all = async { tokio::join!(writer.wait_for_connect(), reader.wait_for_connect(), self.subscription.connected()) };
        matches!(timeout(patience, all).await, Ok((Ok(()), Ok(()), ())))
    }

    /// Closes the connections in an orderly way; dropping the store closes them too.
    pub async fn shutdown(&self) {
        let [writer, reader] = self.clients();
        let all = async { (writer.quit().await, reader.quit().await, self.subscription.client.quit().await) };
        if timeout(CALL_WITHIN, all).await.is_err() {
            tracing::debug!("the Redis connections did not close in time");
        }
    }

    /// Refuses every call on rankings until [`Self::open`].
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Accepts calls: it is settled which ledger owns the rankings.
    pub fn open(&self) {
        self.closed.store(false, Ordering::Release);
    }

    /// The token of the ledger that feeds these rankings, if one has put it there.
    pub async fn holder(&self) -> Result<Option<String>, RankingError> {
        let key = [Value::from(self.keys.key(INSTALLATION, HOLDER))];
        match self.command("GET", INSTALLATION, key).await? {
            Value::Null => Ok(None),
            token => token.into_string().map(Some).ok_or_else(unreadable),
        }
    }

    /// Replaces the token and announces that to all instances. Returns how many received it, this one included (in a cluster
    /// only those on the same node); `None` if the present token is not `in_place_of`.
    pub async fn hold(&self, token: &str, in_place_of: Option<&str>) -> Result<Option<u64>, RankingError> {
        let args = [token, in_place_of.unwrap_or_default(), &self.keys.channel(INSTALLATION)].map(Value::from);
        let answer = self.run(Lane::Announce, &scripts::HOLD, INSTALLATION, &[HOLDER], args).await?;
        Ok(answer.as_u64())
    }

    /// Switches to the keys and channels of another installation; at first all rankings are missing there.
    pub async fn adopt(&self, installation_id: &str) {
        let old = self.subscription.channels();
        if self.keys.adopt(installation_id) {
            self.subscription.move_from(old).await;
        }
    }

    /// Runs a script on some of a board's keys.
    pub(super) async fn call(
        &self,
        lane: Lane,
        script: &Script,
        pk: i64,
        suffixes: &[&str],
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, RankingError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(RankingError::Unreachable("it is not settled yet whose rankings they are".into()));
        }
        self.run(lane, script, pk, suffixes, args).await
    }

    async fn run(
        &self,
        lane: Lane,
        script: &Script,
        pk: i64,
        suffixes: &[&str],
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, RankingError> {
        if self.breaker.is_open() {
            return Err(RankingError::Unreachable("it did not answer lately".into()));
        }
        let keys = suffixes.iter().map(|suffix| Value::from(self.keys.key(pk, suffix)));
        let mut words = vec![Value::from(script.sha.as_str()), Value::from(suffixes.len() as i64)];
        words.extend(keys.chain(args));
        let slot = redis_keyslot(self.keys.channel(pk).as_bytes());
        match self.send(lane, "EVALSHA", slot, words.clone()).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                words[0] = Value::from_static_str(script.source);
                self.send(lane, "EVAL", slot, words).await
            }
            answered => answered,
        }
        .map_err(failed)
    }

    /// A plain command on a key or a channel in the slot of this pk.
    pub(super) async fn command(
        &self,
        command: &'static str,
        pk: i64,
        words: impl IntoIterator<Item = Value>,
    ) -> Result<Value, RankingError> {
        let slot = redis_keyslot(self.keys.channel(pk).as_bytes());
        self.send(Lane::Announce, command, slot, words.into_iter().collect()).await.map_err(failed)
    }

    /// Whether the server answers on both connections, and accepts writes.
    pub(super) async fn answer(&self) -> Result<(), RankingError> {
        let key = Value::from(self.keys.key(INSTALLATION, PROBE));
        let words = [key, self.instance.as_str().into(), Value::from_static_str("PX"), PROBE_MS.into()];
        let read = async { self.send(Lane::Read, "PING", 0, vec![]).await.map_err(failed) };
        let (written, read) = tokio::join!(self.command("SET", INSTALLATION, words), read);
        let answer = written.and(read);
        if !matches!(answer, Err(RankingError::Unreachable(_))) {
            self.breaker.close();
        }
        answer.map(drop)
    }

    fn clients(&self) -> [&Client; 2] {
        [Lane::Announce, Lane::Read].map(|lane| &self.tracks[lane as usize].client)
    }

    async fn send(&self, lane: Lane, command: &'static str, slot: u16, words: Vec<Value>) -> Result<Value, Error> {
        let track = &self.tracks[lane as usize];
        let deadline = Instant::now() + CALL_WITHIN;
        let late = |_| Error::new(ErrorKind::Timeout, "too many calls are on their way");
        let _turn = timeout_at(deadline, track.turns.acquire()).await.map_err(late)?;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(left), ..Options::default() };
        // The client's own `evalsha` ignores these options, hence the custom command.
        let command = CustomCommand::new_static(command, ClusterHash::Custom(slot), false);
        let answer = track.client.with_options(&options).custom(command, words).await;
        if matches!(&answer, Err(error) if *error.kind() == ErrorKind::Timeout) {
            self.breaker.timed_out(left);
        }
        answer
    }
}

fn builder(url: &str) -> Result<Builder, InvalidRedisUrl> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let known = ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];
    if !known.contains(&scheme) {
        return Err(InvalidRedisUrl(format!("it has to begin with one of {}", known.join("://, ") + "://")));
    }
    let mut config = Config::from_url(url).map_err(|error| InvalidRedisUrl(error.details().to_owned()))?;
    config.fail_fast = false; // The program starts without Redis, and finds it when it comes.
    config.version = RespVersion::RESP3; // A connection in RESP2 cannot be pinged while it listens.
    let mut builder = Builder::from_config(config);
    builder
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
        .with_performance_config(|performance| {
            performance.broadcast_channel_capacity = PENDING_MESSAGES;
            performance.default_command_timeout = 2 * CALL_WITHIN;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(2);
            connection.internal_command_timeout = Duration::from_secs(2);
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        });
    Ok(builder)
}

/// A server that answers with an error is reachable, and refuses.
fn failed(error: Error) -> RankingError {
    match error.kind() {
        ErrorKind::Unknown | ErrorKind::Auth | ErrorKind::Cluster | ErrorKind::InvalidCommand if is_answer(error.details()) => {
            RankingError::Refused(error.to_string())
        }
        _ => RankingError::Unreachable(error.to_string()),
    }
}
