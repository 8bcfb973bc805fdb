//! Redis is lost, with all it held: scores go on, and the ranking becomes the ledger's again by itself.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{
    clients::Clients,
    events::Watcher,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

async fn server_on(redis: &RedisServer) -> Server {
    Server::on(Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) }).await
}

/// Every reader has come to what the ledger holds.
async fn assert_converged(server: &Server, clients: Clients, watcher: &mut Watcher, top: &mut Watcher) {
    clients.acknowledge(50).await;
    clients.finish(server).await;
    server.assert_verified().await;
    let window = server.get("/api/leaderboard").await;
    watcher.reach(&window["version"]).await;
    while top.version != window["version"] {
        let (_, data) = top.next_state().await;
        assert_eq!(data["leaderboardId"], "main");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_scores_go_on_and_reads_come_from_the_ledger() {
    let mut redis = RedisServer::start(&[]);
    let server = server_on(&redis).await;
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    let mut top = Watcher::open(&server, "/api/leaderboard/stream?view=top&hz=20").await;
    let clients = Clients::start(&server, 4);
    // So many that the snapshot which the first watcher got is too old for the next one.
    clients.acknowledge(150).await;
    assert_eq!(server.served_from().await, "redis; hit");

    redis.kill();
    clients.acknowledge(50).await;
    let receipt = server.post_point("ann").await;
    assert_eq!((&receipt["rank"], &receipt["version"], &receipt["newScore"]), (&Value::Null, &Value::Null, &Value::from(1)));
    let mut sources = Vec::new();
    for _ in 0..10 {
        sources.push(server.served_from().await);
    }
    assert!(sources.iter().all(|source| source == "ledger; fwd=miss" || source == "memory; hit"), "{sources:?}");
    let entry = server.get("/api/leaderboards/main/entries/ann").await;
    assert_eq!((&entry["entry"]["score"], &entry["version"]), (&Value::from(1), &Value::Null));
    let ready = server.anonymous(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(ready.json::<Value>().await.unwrap()["status"], "degraded");

    // Those who come now see what the ledger knows, without a position.
    let mut late = Watcher::open(&server, "/api/leaderboard/stream").await;
    let mut late_top = Watcher::open(&server, "/api/leaderboard/stream?view=top&limit=7").await;
    // Also where others watch the same since before.
    let mut late_beside = Watcher::open(&server, "/api/leaderboard/stream?view=top&hz=20").await;
    let mut late_user = Watcher::open(&server, "/api/leaderboard/stream?view=user&userId=ann").await;
    for late in [&mut late, &mut late_top, &mut late_beside] {
        let (event, data) = late.next().await;
        assert_eq!((event.as_str(), &data["version"]), ("leaderboard", &Value::Null));
    }
    let (event, data) = late_user.next().await;
    assert_eq!((event.as_str(), &data["version"], &data["entry"]["score"]), ("standing", &Value::Null, &Value::from(1)));

    redis.run();
    within(SOON, "the ranking is back", || async { server.served_from().await == "redis; hit" }).await;
    watcher.reset().await;
    for late in [&mut late, &mut late_top, &mut late_beside] {
        let (event, data) = late.next().await;
        assert_eq!(event, "leaderboard");
        assert!(!data["version"].is_null());
    }
    while late_user.next_state().await.1["version"].is_null() {}
    assert_converged(&server, clients, &mut watcher, &mut top).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_filled_again_and_watchers_are_told() {
    let redis = RedisServer::start(&[]);
    let server = server_on(&redis).await;
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    let mut top = Watcher::open(&server, "/api/leaderboard/stream?view=top&hz=20").await;
    let clients = Clients::start(&server, 4);
    for _ in 0..3 {
        clients.acknowledge(50).await;
        redis.command("FLUSHALL");
        watcher.reset().await;
    }
    assert_converged(&server, clients, &mut watcher, &mut top).await;
    assert!(watcher.resets >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_redis_serves_from_the_ledger_until_it_comes() {
    let mut redis = RedisServer::start(&[]);
    let mut server = server_on(&redis).await;
    server.post_point("ann").await;
    server.kill();
    redis.kill();
    server.run().await;
    assert!(server.post_point("ann").await["rank"].is_null());
    assert_eq!(server.get("/api/leaderboard").await["entries"][0]["score"], 2);
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    assert_eq!(watcher.next().await.1["entries"][0]["score"], 2);
    redis.run();
    let (event, data) = watcher.next().await;
    assert_eq!((event.as_str(), &data["entries"][0]["score"]), ("leaderboard", &Value::from(2)));
    assert!(!data["version"].is_null());
    within(SOON, "ranks are told again", || async { server.post_point("bob").await["rank"] == 2 }).await;
    server.assert_verified().await;
}
