//! Decisions of moderators, whatever dies at any step: each is made once, whole or not at all, and recorded once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

/// In the order in which a decision reaches them.
const POINTS: [&str; 3] = ["decisions-written", "audit-written", "decisions-committed"];

/// Sends it until it is answered.
async fn until_answered(request: &RequestBuilder) -> Value {
    loop {
        if let Ok(answer) = request.try_clone().unwrap().send().await
            && answer.status() == StatusCode::OK
            && let Ok(body) = answer.json::<Value>().await
        {
            let failed = body["results"].as_array().is_some_and(|results| results.iter().any(|result| result["status"] == 503));
            if !failed {
                return body;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A user who scores a point at a time, and a moderator who adds ten each time, and hides the user and takes that back.
struct Moderated {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    points: JoinHandle<i64>,
    decisions: JoinHandle<(i64, u64)>,
}

impl Moderated {
    fn start(server: &Server, user: &'static str) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let scores = server.request(Method::POST, "/api/scores").json(&json!({ "actionId": "point", "userId": user }));
        let stopped = Arc::clone(&stop);
        let points = tokio::spawn(async move {
            let mut points = 0;
            while !stopped.load(Ordering::Relaxed) {
                let key = uuid::Uuid::new_v4().to_string();
                until_answered(&scores.try_clone().unwrap().header("Idempotency-Key", key)).await;
                points += 1;
                sleep(Duration::from_millis(5)).await;
            }
            points
        });
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&made));
        let decide = server.request(Method::POST, "/api/moderation/decisions");
        let url = server.url("/api/moderation/decisions");
        let token = server.token().to_owned();
        let decisions = tokio::spawn(async move {
            let (mut added, mut decided) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                let body = json!({ "decisions": [
                    { "type": "adjust", "userId": user, "leaderboardId": "main", "points": 10, "reason": "a gift" },
                    { "type": "hide", "userId": user, "reason": "for a moment" },
                ] });
                let key = uuid::Uuid::new_v4().to_string();
                let answer = until_answered(&decide.try_clone().unwrap().header("Idempotency-Key", key).json(&body)).await;
                assert_eq!(answer["results"][0]["status"], 200, "{answer}");
                let hidden = answer["results"][1]["body"]["id"].as_str().unwrap();
                let back = reqwest::Client::new().delete(format!("{url}/{hidden}")).bearer_auth(&token);
                until_answered(&back).await;
                (added, decided) = (added + 10, decided + 2);
                counted.store(decided, Ordering::Relaxed);
            }
            (added, decided)
        });
        Self { stop, made, points, decisions }
    }

    async fn some(&self) {
        let before = self.made.load(Ordering::Relaxed);
        within(SOON, "decisions are made", || async { self.made.load(Ordering::Relaxed) > before + 3 }).await;
    }

    /// The score that is to be, and the decisions.
    async fn finish(self) -> (i64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let ((added, decided), points) = (self.decisions.await.unwrap(), self.points.await.unwrap());
        (points + added, decided)
    }
}

async fn each_is_made_once(mut server: Server) {
    for user in ["ann", "bob"] {
        server.post_point(user).await;
    }
    let users = ["ann", "bob"].map(|user| (user, Moderated::start(&server, user)));
    users[0].1.some().await;
    server.kill();
    for point in POINTS {
        server.set("SCOREBOARD_FAILPOINTS", format!("{point}:abort@4"));
        server.spawn();
        let status = server.ended(SOON).await.unwrap_or_else(|| panic!("{point} is not reached"));
        assert!(!status.success(), "{point}: {status}");
    }
    let failing: Vec<_> = (2..).step_by(3).zip(POINTS).map(|(time, point)| format!("{point}:error@{time}")).collect();
    server.set("SCOREBOARD_FAILPOINTS", failing.join(","));
    server.run().await;
    users[1].1.some().await;
    let (mut expected, mut decided) = (BTreeMap::new(), 0);
    for (user, moderated) in users {
        let (score, made) = moderated.finish().await;
        expected.insert(user.to_owned(), score + 1);
        decided += made;
    }
    within(SOON, "the ranking shows all of it", || async {
        let window = server.get("/api/leaderboards/main/entries?limit=100").await;
        let entries = window["entries"].as_array().unwrap().iter();
        let shown: BTreeMap<String, i64> =
            entries.map(|entry| (entry["userId"].as_str().unwrap().to_owned(), entry["score"].as_i64().unwrap())).collect();
        shown == expected
    })
    .await;
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let page = server.get(&format!("/api/moderation/decisions?limit=100{cursor}")).await;
        listed += page["decisions"].as_array().unwrap().len() as u64;
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, decided, "each decision is there once");
    let audit = server.get("/api/audit?limit=1000").await;
    let made =
        |action: &str| audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count() as u64;
    assert_eq!((made("decision.adjust"), made("decision.hide")), (decided / 2, decided / 2));
    server.assert_verified().await;
    let audited = server.command_beside(&["verify", "--audit"]).await;
    assert!(audited.status.success(), "{audited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_decisions_are_made_once_whatever_dies() {
    each_is_made_once(Server::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_decisions_are_made_once_whatever_dies() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    each_is_made_once(Server::on(stores).await).await;
}
