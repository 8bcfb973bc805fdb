//! The process dies, or fails, at each step between receipt and announcement. Clients repeat blindly: everything counts once, every receipt is
//! given again word for word, and the ranking is the ledger's.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    clients::{Clients, assert_replayed},
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

/// In the order in which a batch reaches them; `redis-applied` only where there is a Redis.
const POINTS: [&str; 8] = [
    "batch-begun",
    "batch-written",
    "batch-committed",
    "redis-applied",
    "changes-told",
    "receipts-stored",
    "answered",
    "outbox-done",
];

/// What `src/failpoints.rs` reads.
const VARIABLE: &str = "SCOREBOARD_FAILPOINTS";

const SOON: Duration = Duration::from_secs(20);

/// Dies at each step once, then fails at each step once.
async fn counts_everything_once(mut server: Server, points: &[&str]) {
    let clients = Clients::start(&server, 6);
    clients.acknowledge(10).await;
    server.kill();
    for point in points {
        server.set(VARIABLE, format!("{point}:abort@3"));
        server.spawn();
        let status = server.ended(SOON).await.unwrap_or_else(|| panic!("{point} is not reached"));
        assert!(!status.success(), "{point}: {status}");
    }
    let failing: Vec<_> = (2..).step_by(3).zip(points).map(|(time, point)| format!("{point}:error@{time}")).collect();
    server.set(VARIABLE, failing.join(","));
    server.run().await;
    within(SOON, "each step has failed", || async {
        // Named by the module that says so, because those who suffer from it repeat its words.
        server.log().matches("failpoints::chosen").count() == 2 * points.len()
    })
    .await;
    clients.rank().await;
    let acknowledged = clients.finish(&server).await;
    assert_replayed(&acknowledged).await;
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_every_step_may_be_the_last_one() {
    let points: Vec<_> = POINTS.into_iter().filter(|&point| point != "redis-applied").collect();
    counts_everything_once(Server::embedded().await, &points).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_every_step_may_be_the_last_one() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    counts_everything_once(Server::on(stores).await, &POINTS).await;
}

/// Nobody else can be about to answer what an embedded server committed before it died.
#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_server_answers_a_retry_at_once_after_its_death() {
    let mut server = Server::embedded().await;
    server.kill();
    server.set(VARIABLE, "batch-committed:abort");
    server.run().await;
    let score = |server: &Server| {
        let body = json!({ "actionId": "point", "userId": "ann" });
        server.request(Method::POST, "/api/scores").header("Idempotency-Key", "a-goal").json(&body).send()
    };
    score(&server).await.expect_err("it dies before it answers");
    server.ended(SOON).await.expect("it dies");
    server.set(VARIABLE, "");
    server.run().await;
    let started = Instant::now();
    let answer = score(&server).await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["idempotency-replayed"]), (StatusCode::OK, &"true".parse().unwrap()));
    assert!(started.elapsed() < Duration::from_secs(1), "waited {:?} for an answer that never comes", started.elapsed());
    assert_eq!(server.get("/api/leaderboard").await["entries"][0]["score"], 1);
}

/// One that died between commit and announcement: whoever is asked again announces for it, and says where it led, in good order.
#[tokio::test(flavor = "multi_thread")]
async fn another_instance_answers_for_a_dead_one_with_ranks() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    let mut dying = Server::on(stores.clone()).await;
    dying.post_point("ann").await;
    let staying = dying.beside(stores).await;
    dying.kill();
    dying.set(VARIABLE, "batch-committed:abort");
    dying.run().await;
    let submissions: Vec<_> = (0..50)
        .map(|n| json!({ "actionId": "value", "value": n / 2 + 1, "userId": format!("user-{}", n % 2), "idempotencyKey": format!("goal-{n}") }))
        .collect();
    let body = json!({ "submissions": submissions });
    dying.request(Method::POST, "/api/scores/batch").json(&body).send().await.expect_err("it dies before it answers");
    dying.ended(SOON).await.expect("it dies");

    let repeat = || async {
        let answer = staying.request(Method::POST, "/api/scores/batch").json(&body).send().await.unwrap();
        answer.error_for_status().unwrap().json::<Value>().await.unwrap()
    };
    let first = repeat().await;
    for (n, result) in first["results"].as_array().unwrap().iter().enumerate() {
        let receipt = &result["body"];
        assert_eq!((&result["replayed"], &receipt["delta"]), (&true.into(), &(n / 2 + 1).into()), "{result}");
        for field in ["rank", "version"] {
            assert_ne!(receipt[field], Value::Null, "{field} of {receipt}");
        }
    }
    assert_eq!(repeat().await, first);
    let last = &first["results"][49]["body"];
    let entry = staying.get("/api/leaderboards/main/entries/user-1").await;
    assert_eq!((&entry["entry"]["rank"], &entry["entry"]["score"]), (&last["rank"], &last["newScore"]));
    staying.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_in_the_middle_of_a_rebuild_is_succeeded_within_seconds() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    let mut dying = Server::on(stores.clone()).await;
    dying.post_point("ann").await;
    dying.kill();
    dying.set(VARIABLE, "rebuild-loaded:abort");
    dying.run().await;
    let mut staying = Server::prepare(stores);
    staying.run().await;
    // It would begin the rebuild itself if it saw first that there is nothing.
    staying.signal("STOP");
    redis.command("FLUSHALL");
    assert_eq!(dying.served_from().await, "ledger; fwd=miss");
    dying.ended(SOON).await.expect("it dies while it rebuilds");
    staying.signal("CONT");
    assert_eq!(staying.served_from().await, "ledger; fwd=miss", "the dead one has the lease");
    within(Duration::from_secs(8), "the other one rebuilds", || async { staying.served_from().await == "redis; hit" }).await;
    staying.assert_verified().await;
}

/// Who begins to exist by a withheld score has no entry that another instance's commit could miss: the limit holds all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_a_newcomer_who_comes_while_it_is_read() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    let first = Server::on(stores.clone()).await;
    let range = json!({ "min": 0, "max": 1000 });
    let limit = json!({ "count": 1, "perSeconds": 3600 });
    let action = json!({ "id": "once", "leaderboards": ["main"], "value": range, "limit": limit, "review": { "above": 1 } });
    first.request(Method::POST, "/api/actions").json(&action).send().await.unwrap().error_for_status().unwrap();
    let mut second = Server::prepare(stores);
    second.set(VARIABLE, "batch-begun:stall@2");
    second.run().await;
    // The first batch of an instance reads the definitions, and then everything again.
    second.post_point("bob").await;

    let score = json!({ "actionId": "once", "userId": "ann", "value": 500 });
    let post = |server: &Server| server.request(Method::POST, "/api/scores").json(&score).send();
    let stalled = tokio::spawn(post(&second));
    within(SOON, "the second one has read the limit", || async { second.log().contains("failpoints::chosen") }).await;
    assert_eq!(post(&first).await.unwrap().status(), StatusCode::OK);
    assert!(!stalled.is_finished());
    let refused = stalled.await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:scoreboard:problem:too-soon", "{problem}");
    first.assert_verified().await;
}
