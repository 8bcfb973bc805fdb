//! Game backends as they should be: every submission has a key and is repeated until it is acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use crate::server::{Server, within};

const USERS: usize = 5;
/// How long one submission may be repeated.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon the ranking has to show what could not be told at once.
const CATCH_UP: Duration = Duration::from_secs(10);

/// One acknowledged submission.
pub struct Acknowledged {
    user: String,
    value: i64,
    event_id: String,
    /// The request, to be repeated, and the answer to it.
    request: RequestBuilder,
    receipt: String,
}

/// Clients at work.
pub struct Clients {
    acknowledged: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    /// Receipts with a rank, by user.
    ranked: Arc<[AtomicU64; USERS]>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Acknowledged>>>,
}

impl Clients {
    /// Sets so many clients to work on this server.
    pub fn start(server: &Server, count: u64) -> Self {
        Self::start_on(&[server], count)
    }

    /// Sets so many clients to work on these instances: each attempt goes to any one of them, and for each fourth submission to all of
    /// them at once, under the one key that it has.
    pub fn start_on(servers: &[&Server], count: u64) -> Self {
        let (acknowledged, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (ranked, stop) = (Arc::<[AtomicU64; USERS]>::default(), Arc::new(AtomicBool::new(false)));
        let tasks = (0..count).map(|client| {
            let requests: Vec<_> = servers.iter().map(|server| server.request(Method::POST, "/api/scores")).collect();
            let (acknowledged, refused, ranked, stop) = (acknowledged.clone(), refused.clone(), ranked.clone(), stop.clone());
            tokio::spawn(async move {
                let mut done = Vec::new();
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = (client + round) as usize % USERS;
                    let (user, value) = (format!("user-{number}"), (round % 100) as i64 + 1);
                    let body = json!({ "actionId": "value", "userId": user, "value": value });
                    let keyed = |request: &RequestBuilder| {
                        request.try_clone().unwrap().header("idempotency-key", format!("{client}-{round}")).json(&body)
                    };
                    let requests: Vec<_> = requests.iter().map(keyed).collect();
                    let receipt = until_acknowledged(&requests, round % 4 == 0, &refused).await;
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    let told: Value = serde_json::from_str(&receipt).unwrap();
                    ranked[number].fetch_add(u64::from(told["rank"].is_u64()), Ordering::Relaxed);
                    let (event_id, request) = (told["eventId"].as_str().unwrap().to_owned(), requests[0].try_clone().unwrap());
                    done.push(Acknowledged { user, value, event_id, request, receipt });
                }
                done
            })
        });
        Self { tasks: tasks.collect(), acknowledged, refused, ranked, stop }
    }

    /// Waits until so many more submissions have been acknowledged.
    pub async fn acknowledge(&self, more: u64) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + more;
        wait_for(&self.acknowledged, wanted, "acknowledged submissions").await;
    }

    /// Waits until an attempt has failed from now on.
    pub async fn fail(&self) {
        let wanted = self.refused.load(Ordering::Relaxed) + 1;
        wait_for(&self.refused, wanted, "failed attempts").await;
    }

    /// Waits until each user has been told ranks again: the ranking keeps up although nobody pauses.
    pub async fn rank(&self) {
        for ranked in &*self.ranked {
            wait_for(ranked, ranked.load(Ordering::Relaxed) + 5, "receipts with a rank").await;
        }
    }

    /// Ends the load, and checks that the server has exactly what it acknowledged: no score lost, none doubled. Answers what was acknowledged.
    pub async fn finish(self, server: &Server) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        let mut by_user: BTreeMap<String, Vec<Acknowledged>> = BTreeMap::new();
        for task in self.tasks {
            task.await.unwrap().into_iter().for_each(|one| by_user.entry(one.user.clone()).or_default().push(one));
        }
        for (user, acknowledged) in &by_user {
            let mut kept = history(server, user).await;
            let mut told: Vec<_> = acknowledged.iter().map(|one| one.event_id.clone()).collect();
            kept.sort();
            told.sort();
            assert_eq!(kept, told, "the history of {user} holds what was acknowledged, once");
            let sum: i64 = acknowledged.iter().map(|one| one.value).sum();
            within(CATCH_UP, "the ranking shows what was acknowledged", || async {
                server.get(&format!("/api/leaderboards/main/entries/{user}")).await["entry"]["score"] == sum
            })
            .await;
        }
        by_user.into_values().flatten().collect()
    }
}

/// Whoever repeats a submission gets the receipt that was given for it, word for word. Of many, a hundred are tried.
pub async fn assert_replayed(acknowledged: &[Acknowledged]) {
    for one in acknowledged.iter().step_by(acknowledged.len().div_ceil(100)) {
        let answer = one.request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(answer.headers()["idempotency-replayed"], "true");
        assert_eq!(answer.text().await.unwrap(), one.receipt);
    }
}

/// Repeats a submission until it is acknowledged, and answers the receipt. Where several instances acknowledge it, they speak of one score.
async fn until_acknowledged(requests: &[RequestBuilder], everywhere: bool, refused: &AtomicU64) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let one = fastrand::usize(..requests.len());
        let asked = requests.iter().enumerate().filter(|(index, _)| everywhere || *index == one);
        let attempts = asked.map(|(_, request)| attempt(request.try_clone().unwrap()));
        let receipts: Vec<String> = join_all(attempts).await.into_iter().flatten().collect();
        if let Some(receipt) = receipts.first() {
            let score = |receipt: &String| {
                let receipt: Value = serde_json::from_str(receipt).unwrap();
                (receipt["eventId"].clone(), receipt["newScore"].clone())
            };
            assert!(receipts.iter().all(|other| score(other) == score(receipt)), "{receipts:?}");
            return receipt.clone();
        }
        refused.fetch_add(1, Ordering::Relaxed);
        assert!(Instant::now() < deadline, "not acknowledged within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn attempt(request: RequestBuilder) -> Option<String> {
    let response = request.send().await.ok()?;
    let status = response.status();
    let text = response.text().await.ok()?;
    assert!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "only for a while: {text}");
    (status == StatusCode::OK).then_some(text)
}

async fn history(server: &Server, user: &str) -> Vec<String> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/users/{user}/scores?limit=100{cursor}")).await;
        events.extend(page["scores"].as_array().unwrap().iter().map(|event| event["eventId"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

async fn wait_for(counter: &AtomicU64, wanted: u64, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while counter.load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < deadline, "not {wanted} {what} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
