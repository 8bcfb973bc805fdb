//! A Redis that answers and refuses writes: what it says is not believed, scores go on, and nobody waits for it.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

async fn two_on(redis: &RedisServer) -> [Server; 2] {
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    let first = Server::on(stores.clone()).await;
    let second = first.beside(stores).await;
    [first, second]
}

async fn readiness(server: &Server) -> (StatusCode, Value) {
    let answer = server.anonymous(Method::GET, "/readyz").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Refuses writes by `refuse` until `take`.
async fn goes_on(redis: &RedisServer, refuse: &str, take: &str) {
    let [server, other] = two_on(redis).await;
    for user in ["ann", "ann", "bob"] {
        server.post_point(user).await;
    }
    within(SOON, "both read it", || async { server.served_from().await != "ledger; fwd=miss" }).await;
    assert_eq!(redis.command(refuse), "+OK", "{refuse}");
    assert_eq!(readiness(&server).await.1["status"], "degraded", "{refuse}");

    for score in 1..=6 {
        let begun = Instant::now();
        assert_eq!(server.post_point("new").await["newScore"], score);
        assert!(begun.elapsed() < Duration::from_millis(900), "{refuse}: the {score}th took {:?}", begun.elapsed());
    }
    let (status, report) = readiness(&server).await;
    assert_eq!((status, &report["status"], &report["checks"]["ranking"]), (StatusCode::OK, &"degraded".into(), &"behind".into()));
    for server in [&server, &other] {
        within(Duration::from_secs(5), "the new leader is there", || async {
            let window = server.get("/api/leaderboard").await;
            let entry = server.request(Method::GET, "/api/leaderboards/main/entries/new").send().await.unwrap();
            window["entries"][0]["userId"] == "new"
                && window["entries"][0]["score"] == 6
                && entry.status() == StatusCode::OK
                && entry.headers()["cache-status"] == "ledger; fwd=miss"
        })
        .await;
    }
    assert_eq!(readiness(&other).await.1["status"], "degraded", "{refuse}");

    assert_eq!(redis.command(take), "+OK", "{take}");
    for server in [&server, &other] {
        within(SOON, "everything is announced", || async { readiness(server).await.1["status"] == "ready" }).await;
        assert_eq!(server.served_from().await.split(';').next().map(|by| by != "ledger"), Some(true));
        assert_eq!(server.get("/api/leaderboard").await["entries"][0]["score"], 6);
    }
    assert!(!server.post_point("new").await["rank"].is_null());
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_is_not_believed() {
    let redis = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    goes_on(&redis, "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_with_too_few_replicas_is_not_believed() {
    let redis = RedisServer::start(&[]);
    goes_on(&redis, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0").await;
}

/// The ranking of the other board is complete, so nobody has to do without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_lacks_nothing_is_believed() {
    let redis = RedisServer::start(&[]);
    let [server, _] = two_on(&redis).await;
    let other = serde_json::json!({ "id": "other" });
    server.request(Method::POST, "/api/leaderboards").json(&other).send().await.unwrap().error_for_status().unwrap();
    server.post_point("ann").await;
    redis.command("CONFIG SET maxmemory 1");
    server.post_point("bob").await;
    let source = |id: &'static str| {
        let read = server.request(Method::GET, &format!("/api/leaderboards/{id}/entries?fromRank=2"));
        async move { read.send().await.unwrap().headers()["cache-status"].to_str().unwrap().to_owned() }
    };
    assert_ne!(source("main").await, "redis; hit");
    assert_eq!(source("other").await, "redis; hit");
}
