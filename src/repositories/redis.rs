//! The ranking shared by any number of instances: what `app` builds where `REDIS_URL` is set. This file holds the connections and the way of
//! a call; `standings::redis` and `feed::redis` implement the two ports for the store made here.

use std::{sync::Arc, time::Duration};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::{
        Builder, ClientState, ClusterHash, CustomCommand, RespVersion, Value,
        config::{Config, Options, ReconnectPolicy, TcpConfig},
    },
    util::redis_keyslot,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use self::{keys::Keys, scripts::Script, subscription::Subscription};
use super::{breaker::Breaker, feed::outlet::Outlet, standings::StandingsError};
use crate::domain::time::Clock;

pub(super) mod keys;
pub(super) mod record;
pub(super) mod reply;
pub(super) mod scripts;
mod subscription;

/// How long a call may take altogether, waiting for a permit included.
const CALL_WITHIN: Duration = Duration::from_millis(800);

/// How much of that a call needs for its time-out to say that the server hangs, and how long a probe may take.
const FAIR_TIME: Duration = Duration::from_millis(500);

/// Calls that may be on their way at once. The client's own queue knows no bound, so this is the bound; further calls wait for a permit
/// until their time is up.
const IN_FLIGHT: usize = 256;

/// Messages that may wait for the draining task, which does next to nothing for each. When it is full the oldest are dropped, and the task
/// learns of it.
const PENDING_MESSAGES: usize = 8192;

/// How often both connections are asked for a sign of life, and how many may fail to come: the client itself does not watch a connection
/// that only listens, nor one whose packets vanish.
const WATCH_EVERY: Duration = Duration::from_secs(2);
const MISSES_ALLOWED: u32 = 2;

/// What `app` knows about the Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://`, `rediss://`, `redis-cluster://`, `redis-sentinel://`.
    pub url: String,
    /// How many of the latest events each board keeps at least.
    pub stream_history: u64,
}

/// The URL names no Redis that this program can reach. Says nothing of the URL itself, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the Redis URL is not usable: {0}")]
pub struct InvalidRedisUrl(String);

/// Both ports on one Redis: one connection for calls, which pipelines them by itself, and one for subscriptions.
pub struct RedisStore {
    client: Client,
    pub(super) subscription: Arc<Subscription>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) keys: Keys,
    pub(super) stream_history: u64,
    /// Random for each process: whose watchers a note speaks of.
    pub(super) instance: String,
    pub(super) clock: Clock,
    permits: Semaphore,
    breaker: Arc<Breaker>,
    /// The draining task, the watch and the probe, and what drives the connections: all end with the store.
    _tasks: [AbortOnDropHandle<()>; 3],
    _connections: [AbortOnDropHandle<Result<(), Error>>; 2],
}

impl RedisStore {
    /// Starts connecting and returns at once; until the Redis is reached, calls fail fast. It has to be called within a tokio runtime.
    pub fn connect(settings: &RedisSettings, installation_id: &str) -> Result<Arc<Self>, InvalidRedisUrl> {
        let builder = builder(&settings.url)?;
        let unusable = |error: Error| InvalidRedisUrl(error.details().to_owned());
        let (client, subscriber) = (builder.build().map_err(unusable)?, builder.build_subscriber_client().map_err(unusable)?);
        let (keys, outlet) = (Keys::new(installation_id), Arc::new(Outlet::new()));
        let subscription = Subscription::new(subscriber, keys.clone(), outlet.clone());
        let breaker = Breaker::new("redis", FAIR_TIME);
        let probed = client.clone();
        let tasks = [
            tokio::spawn(subscription.clone().drain()),
            tokio::spawn(watch(client.clone(), subscription.clone())),
            tokio::spawn(breaker.clone().probe(move || answers(probed.clone(), FAIR_TIME))),
        ];
        let connections = [client.connect(), subscription.client.connect()];
        Ok(Arc::new(Self {
            client,
            subscription,
            outlet,
            keys,
            stream_history: settings.stream_history,
            instance: uuid::Uuid::new_v4().simple().to_string(),
            clock: Clock::system(),
            permits: Semaphore::new(IN_FLIGHT),
            breaker,
            _tasks: tasks.map(AbortOnDropHandle::new),
            _connections: connections.map(AbortOnDropHandle::new),
        }))
    }

    /// Waits until both connections stand, and answers whether they do. Nobody has to: it spares the first calls after a start a refusal.
    pub async fn connected_within(&self, patience: Duration) -> bool {
        let both = async { tokio::join!(self.client.wait_for_connect(), self.subscription.connected()) };
        matches!(timeout(patience, both).await, Ok((Ok(()), ())))
    }

    /// Closes both connections in an orderly way; dropping the store closes them too.
    pub async fn shutdown(&self) {
        let both = async { (self.client.quit().await, self.subscription.client.quit().await) };
        if timeout(CALL_WITHIN, both).await.is_err() {
            tracing::debug!("the Redis connections did not close in time");
        }
    }

    /// Runs a script on some of a board's keys.
    pub(super) async fn call(
        &self,
        script: &Script,
        pk: i64,
        suffixes: &[&str],
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, StandingsError> {
        if self.breaker.is_open() {
            return Err(StandingsError::Unreachable("it did not answer lately".into()));
        }
        let keys = suffixes.iter().map(|suffix| Value::from(self.keys.key(pk, suffix)));
        let mut words = vec![Value::from(script.sha.as_str()), Value::from(suffixes.len() as i64)];
        words.extend(keys.chain(args));
        let slot = redis_keyslot(self.keys.channel(pk).as_bytes());
        match self.send("EVALSHA", slot, words.clone()).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                words[0] = Value::from_static_str(script.source);
                self.send("EVAL", slot, words).await
            }
            answered => answered,
        }
        .map_err(out_of_reach)
    }

    /// Whether the server answers.
    pub(super) async fn answer(&self) -> Result<(), StandingsError> {
        self.send("PING", 0, vec![]).await.map_err(out_of_reach)?;
        self.breaker.close();
        Ok(())
    }

    async fn send(&self, command: &'static str, slot: u16, words: Vec<Value>) -> Result<Value, Error> {
        let deadline = Instant::now() + CALL_WITHIN;
        let late = |_| Error::new(ErrorKind::Timeout, "too many calls are on their way");
        let _permit = timeout_at(deadline, self.permits.acquire()).await.map_err(late)?;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(left), ..Options::default() };
        // The client's own `evalsha` ignores these options, hence the custom command.
        let command = CustomCommand::new_static(command, ClusterHash::Custom(slot), false);
        let answer = self.client.with_options(&options).custom(command, words).await;
        if matches!(&answer, Err(error) if *error.kind() == ErrorKind::Timeout) {
            self.breaker.timed_out(left);
        }
        answer
    }
}

/// Reconnects a connection that stands but does not answer.
async fn watch(client: Client, subscription: Arc<Subscription>) {
    let mut ticks = interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut calls_missed, mut subscription_missed) = (0, 0);
    loop {
        ticks.tick().await;
        let (calls, listening) = tokio::join!(answers(client.clone(), CALL_WITHIN), subscription.ping());
        revive(&client, calls, &mut calls_missed).await;
        revive(&subscription.client, listening.is_ok(), &mut subscription_missed).await;
    }
}

/// Whether the server answers a ping in time.
async fn answers(client: Client, within: Duration) -> bool {
    let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(within), ..Options::default() };
    client.with_options(&options).ping::<Value>(None).await.is_ok()
}

/// Counts missed answers of a client that believes it is connected, and after too many makes it connect anew.
async fn revive<C: ClientLike>(client: &C, answered: bool, missed: &mut u32) {
    if answered || client.state() != ClientState::Connected {
        *missed = 0;
        return;
    }
    *missed += 1;
    if *missed >= MISSES_ALLOWED {
        *missed = 0;
        tracing::warn!(client = client.id(), "Redis does not answer: connecting anew");
        if timeout(WATCH_EVERY, client.force_reconnection()).await.is_err() {
            tracing::debug!(client = client.id(), "the reconnection is still on its way");
        }
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
    config.version = RespVersion::RESP3; // A connection in RESP2 cannot be asked for a sign of life while it listens.
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

fn out_of_reach(error: Error) -> StandingsError {
    StandingsError::Unreachable(error.to_string())
}
