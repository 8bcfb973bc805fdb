//! Game backends as they should be: every score has a key and is repeated, to whichever instance, until it is acknowledged.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use serde_json::Value;
use tokio::{runtime, task::JoinSet, time::sleep};

use super::cluster::Cluster;
use crate::{
    http::{
        connection::Connection,
        request::{Template, put},
    },
    target::Target,
};

/// How long one score may be repeated.
const PATIENCE: Duration = Duration::from_secs(120);

/// One in so many acknowledged scores is sent once more: the answer has to be the same.
const REPLAY: u64 = 8;

/// An acknowledged score.
pub struct Score {
    pub user: u64,
    pub value: u64,
    pub event_id: String,
}

/// All that was acknowledged.
pub struct Acknowledged {
    pub scores: Vec<Score>,
    /// How often it took more than one attempt, in words.
    pub attempts: String,
}

/// Clients at work, on a thread of their own.
pub struct Clients {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    thread: JoinHandle<anyhow::Result<Vec<Score>>>,
}

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    replayed: AtomicU64,
}

impl Clients {
    /// Sets so many to work.
    pub fn start(cluster: &Cluster, clients: u64, users: u64) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let (targets, addresses) = (cluster.targets.clone(), cluster.addresses());
        let thread = {
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            std::thread::spawn(move || {
                let addresses = addresses?;
                let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let mut crew = JoinSet::new();
                    for client in 0..clients {
                        let client = Client::new(client, users, &targets[0], addresses.clone(), Arc::clone(&counts));
                        crew.spawn(client.work(Arc::clone(&stop)));
                    }
                    let mut scores = Vec::new();
                    while let Some(done) = crew.join_next().await {
                        scores.extend(done??);
                    }
                    Ok(scores)
                })
            })
        };
        Self { stop, counts, thread }
    }

    /// How far they are, in words.
    pub fn so_far(&self) -> String {
        let [acknowledged, failed, replayed] =
            [&self.counts.acknowledged, &self.counts.failed, &self.counts.replayed].map(|count| count.load(Relaxed));
        format!("{acknowledged} acknowledged, {failed} attempts failed, {replayed} replays were the same")
    }

    /// Lets each finish the score it is at.
    pub fn finish(self) -> anyhow::Result<Acknowledged> {
        self.stop.store(true, Relaxed);
        let attempts = Arc::clone(&self.counts);
        let scores = self.thread.join().expect("a thread that does not panic")?;
        let (failed, replayed) = (attempts.failed.load(Relaxed), attempts.replayed.load(Relaxed));
        Ok(Acknowledged { scores, attempts: format!("{failed} attempts failed, {replayed} replays were the same") })
    }
}

struct Client {
    number: u64,
    users: u64,
    template: Template,
    action: String,
    addresses: Vec<SocketAddr>,
    connection: Option<Connection>,
    counts: Arc<Counts>,
    random: fastrand::Rng,
}

impl Client {
    fn new(number: u64, users: u64, target: &Target, addresses: Vec<SocketAddr>, counts: Arc<Counts>) -> Self {
        let (template, action) = (Template::post(target, "/api/scores"), format!("{}.points", target.leaderboard));
        Self { number, users, template, action, addresses, connection: None, counts, random: fastrand::Rng::new() }
    }

    async fn work(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<Score>> {
        let mut scores = Vec::new();
        let (mut body, mut request) = (Vec::new(), Vec::new());
        while !stop.load(Relaxed) {
            let (user, value, number) = (self.random.u64(..self.users), self.random.u64(1..=100), scores.len());
            body.clear();
            put(&mut body, format_args!(r#"{{"actionId":"{}","userId":"u-{user}","value":{value}}}"#, self.action));
            self.template.write(&mut request, Some(format_args!("{}-{number}", self.number)), &body);
            let receipt = self.until_acknowledged(&request).await?;
            if self.random.u64(..REPLAY) == 0 {
                let again = self.until_acknowledged(&request).await?;
                ensure!(again == receipt, "a repeat was answered differently: {receipt} and {again}");
                self.counts.replayed.fetch_add(1, Relaxed);
            }
            self.counts.acknowledged.fetch_add(1, Relaxed);
            let event_id = receipt["eventId"].as_str().unwrap_or_default().to_owned();
            scores.push(Score { user, value, event_id });
        }
        Ok(scores)
    }

    async fn until_acknowledged(&mut self, request: &[u8]) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.attempt(request).await {
                Ok((200, body)) => return Ok(serde_json::from_slice(&body)?),
                // Overloaded, or a store is out of reach: only for a while.
                Ok((503, _)) => {}
                Ok((status, body)) => bail!("{status}: {}", String::from_utf8_lossy(&body)),
                Err(_) => self.connection = None,
            }
            self.counts.failed.fetch_add(1, Relaxed);
            sleep(Duration::from_millis(self.random.u64(5..50))).await;
        }
        bail!("a score was not acknowledged within {PATIENCE:?}")
    }

    /// On the connection there is, or on a new one to a random instance.
    async fn attempt(&mut self, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        if self.connection.is_none() || self.random.u64(..20) == 0 {
            let instance = self.random.usize(..self.addresses.len());
            self.connection = Some(Connection::open(self.addresses[instance], 0).await?);
        }
        let connection = self.connection.as_mut().expect("it was just opened");
        let answer = connection.exchange(request).await?;
        Ok((answer.status, answer.body.to_vec()))
    }
}
