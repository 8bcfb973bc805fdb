//! A leaderboard that everybody has left is not followed any more. Here because the metrics have to be those of one server.

use std::time::Duration;

use reqwest::Method;

use crate::{
    events::Watcher,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

/// Twice the time that it takes: a sweep is due every 15 s, and the second one that finds nobody lets go.
const SOON: Duration = Duration::from_secs(90);

async fn followed(server: &Server) -> Option<u64> {
    let metrics = server.anonymous(Method::GET, "/metrics").send().await.ok()?.text().await.ok()?;
    metrics.lines().find_map(|line| line.strip_prefix("scoreboard_leaderboards_followed "))?.parse().ok()
}

async fn is_left_and_found_again(server: Server) {
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    watcher.next().await;
    let receipt = server.post_point("ann").await;
    watcher.reach(&receipt["version"]).await;
    within(SOON, "it is followed", || async { followed(&server).await == Some(1) }).await;
    drop(watcher);
    within(SOON, "it is left", || async { followed(&server).await == Some(0) }).await;
    server.post_point("bob").await;
    let seen = receipt["version"].clone();
    let path = format!("/api/leaderboard/stream?lastEventId={}", seen.as_str().unwrap());
    let mut back = Watcher::open(&server, &path).await;
    back.version = seen;
    assert_eq!(back.next().await.1["userId"], "bob", "nothing was missed meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_a_leaderboard_that_nobody_watches_is_followed_no_longer() {
    is_left_and_found_again(Server::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_a_leaderboard_that_nobody_watches_is_followed_no_longer() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    is_left_and_found_again(Server::on(stores).await).await;
}
