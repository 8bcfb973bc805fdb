//! A task of the server panics: it is started again, and what it was about is not lost.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    network::Network,
    postgres::{PostgresServer, fresh_database, number},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

async fn panicking(steps: &str) -> (Server, String, RedisServer) {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    let mut server = Server::on(stores).await;
    server.kill();
    server.set("SCOREBOARD_FAILPOINTS", steps);
    server.run().await;
    (server, database, redis)
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_panic_are_started_again() {
    let (server, database, _redis) = panicking("outbox-done:panic@2,outbox-swept:panic@1").await;
    for round in 1..=5 {
        assert_eq!(server.post_point("ann").await["newScore"], round);
        // Each row by itself, so that the deletion is asked for more than once.
        within(SOON, "it is deleted", || async { number(&database, "SELECT count(*) FROM outbox").await == 0 }).await;
    }
    within(SOON, "both were started again", || async { server.metric("scoreboard_task_restarts_total").await >= 2 }).await;
    within(SOON, "it is ready", || async {
        server.anonymous(Method::GET, "/readyz").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committer_that_panics_answers_whom_it_had_taken_and_goes_on_with_the_others() {
    let (server, _, _redis) = panicking("jobs-taken:panic@3").await;
    let post = |user: &'static str| {
        let body = json!({ "actionId": "point", "userId": user });
        server.request(Method::POST, "/api/scores").header("Idempotency-Key", user).json(&body).send()
    };
    let mut refused = 0;
    for user in ["ann", "bob", "cid", "dan"] {
        let answer = post(user).await.unwrap();
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            refused += 1;
            within(SOON, "the repeat is taken", || async { post(user).await.unwrap().status() == StatusCode::OK }).await;
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(server.get("/api/leaderboard").await["total"], 4);
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_announcing_task_that_panics_had_taken_is_announced_by_the_sweeper() {
    let (server, database, _redis) = panicking("batch-received:panic@2").await;
    let post = |user: &'static str| {
        let body = json!({ "actionId": "point", "userId": user });
        server.request(Method::POST, "/api/scores").header("Idempotency-Key", user).json(&body).send()
    };
    for user in ["ann", "bob", "cid", "dan"] {
        within(SOON, "it is taken", || async { post(user).await.unwrap().status() == StatusCode::OK }).await;
    }
    within(SOON, "all is announced", || async { number(&database, "SELECT count(*) FROM outbox").await == 0 }).await;
    assert_eq!(server.get("/api/leaderboard").await["total"], 4);
    server.assert_verified().await;
}

/// Whether somebody new is served.
async fn serves_newcomers(server: &Server) -> bool {
    let newcomer = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
    let answer = newcomer.get(format!("http://127.0.0.1:{}/livez", server.port)).send().await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_are_served_again_after_accepting_panicked() {
    // The first connection is the one that everything else here goes over.
    let (server, _, _redis) = panicking("connection-accepted:panic@2").await;
    assert!(!serves_newcomers(&server).await, "it goes down with the task");
    assert_eq!(server.post_point("ann").await["newScore"], 1, "open connections go on");
    within(SOON, "newcomers are served", || serves_newcomers(&server)).await;
    assert!(server.metric("scoreboard_task_restarts_total").await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_closes_although_its_probe_panicked() {
    let postgres = PostgresServer::start();
    let way = Network::before(postgres.port).await;
    let mut server = Server::on(Stores { database_url: Some(postgres.url_at(way.port)), redis_url: None }).await;
    server.kill();
    server.set("SCOREBOARD_FAILPOINTS", "breaker-tripped:panic");
    server.run().await;
    way.swallow();
    let post = async || {
        let body = json!({ "actionId": "point", "userId": "ann" });
        server.request(Method::POST, "/api/scores").header("Idempotency-Key", "a").json(&body).send().await.unwrap().status()
    };
    within(SOON, "the breaker is open and the probe gone", || async {
        post().await == StatusCode::SERVICE_UNAVAILABLE && server.metric("scoreboard_task_restarts_total").await >= 1
    })
    .await;
    way.mend();
    within(SOON, "scores are taken again", || async { post().await == StatusCode::OK }).await;
}
