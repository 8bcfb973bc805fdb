//! Ledgers that were set back, and copies of ledgers, on a Redis that knows more than they do.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    events::Watcher,
    postgres::{PostgresServer, execute, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(40);

fn stores(postgres: &PostgresServer, redis: &RedisServer) -> Stores {
    Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) }
}

async fn make_board(server: &Server, id: &str) {
    let board = server.request(Method::POST, "/api/leaderboards").json(&json!({ "id": id }));
    board.send().await.unwrap().error_for_status().unwrap();
    let action = json!({ "id": id, "points": 1, "leaderboards": [id] });
    server.request(Method::POST, "/api/actions").json(&action).send().await.unwrap().error_for_status().unwrap();
}

async fn post(server: &Server, action: &str, user: &str) -> Value {
    let body = json!({ "actionId": action, "userId": user });
    let answer = server.request(Method::POST, "/api/scores").json(&body).send().await.unwrap();
    answer.error_for_status().unwrap().json().await.unwrap()
}

/// The users of a board's first page.
async fn users(server: &Server, id: &str) -> Vec<String> {
    let window = server.get(&format!("/api/leaderboards/{id}/entries")).await;
    window["entries"].as_array().unwrap().iter().map(|entry| entry["userId"].as_str().unwrap().to_owned()).collect()
}

/// A score has its event and its version; everybody who is told of it can rely on it.
async fn assert_alive(server: &Server) {
    let mut watcher = Watcher::open(server, "/api/leaderboard/stream").await;
    let (_, snapshot) = watcher.next().await;
    let receipt = server.post_point("dan").await;
    assert!(!receipt["rank"].is_null() && receipt["version"].as_str() > snapshot["version"].as_str(), "{receipt}");
    let mut event = Value::Null;
    while watcher.version != receipt["version"] {
        event = watcher.next().await.1;
    }
    assert_eq!(event["eventId"], receipt["eventId"]);
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_restored_from_a_backup_gets_its_own_ranking_back() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let mut server = Server::on(stores(&postgres, &redis)).await;
    server.post_point("ann").await;
    make_board(&server, "kept").await;
    post(&server, "kept", "ann").await;
    server.kill();
    postgres.crash();
    postgres.back_up();
    postgres.run();
    server.run().await;
    for user in ["ann", "ann", "bob", "cid"] {
        server.post_point(user).await;
    }
    // One board is lost with its ledger, the other one comes back.
    make_board(&server, "lost").await;
    post(&server, "lost", "ann").await;
    server.request(Method::DELETE, "/api/leaderboards/kept").send().await.unwrap().error_for_status().unwrap();
    server.kill();
    postgres.crash();
    postgres.restore();
    postgres.run();
    server.run().await;
    within(SOON, "only what the ledger has", || async { users(&server, "main").await == ["ann"] }).await;
    server.assert_verified().await;
    // The same change as the one that was lost, by its number.
    let receipt = server.post_point("ann").await;
    assert_eq!((&receipt["newScore"], &receipt["rank"]), (&json!(2), &json!(1)));
    assert_alive(&server).await;
    make_board(&server, "new").await;
    assert_eq!(users(&server, "new").await, [""; 0], "nobody from the board that had its place");
    assert_eq!(users(&server, "kept").await, ["ann"]);
    assert_eq!(post(&server, "kept", "bob").await["rank"], 2);
    assert_alive(&server).await;
}

/// As a standby that had not heard of the last scores takes the place of its primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_set_back_under_a_running_server_is_noticed() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let server = Server::on(stores(&postgres, &redis)).await;
    server.post_point("ann").await;
    postgres.crash();
    postgres.back_up();
    postgres.run();
    let back = || async { server.anonymous(Method::GET, "/readyz").send().await.unwrap().status() == 200 };
    within(SOON, "the ledger is back", back).await;
    for user in ["ann", "bob", "cid"] {
        server.post_point(user).await;
    }
    postgres.crash();
    postgres.restore();
    postgres.run();
    within(SOON, "the ledger is back", back).await;
    within(SOON, "only what the ledger has", || async { users(&server, "main").await == ["ann"] }).await;
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_made_from_a_template_keeps_away_from_its_originals_ranking() {
    let (database, redis) = (fresh_database().await, RedisServer::start(&[]));
    let mut original = Server::on(Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) }).await;
    original.post_point("ann").await;
    original.kill();
    let (base, name) = database.rsplit_once('/').unwrap();
    let copy = format!("{name}_copy");
    let owner = format!("{base}/postgres");
    let disconnect = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    execute(&owner, &disconnect).await;
    execute(&owner, &format!("CREATE DATABASE {copy} TEMPLATE {name}")).await;
    original.run().await;
    let beside = original.beside(Stores { database_url: Some(format!("{base}/{copy}")), redis_url: Some(redis.url()) }).await;
    live_apart(&original, &beside).await;
}

/// Nothing in such a copy tells it from its original, but what they put into Redis does.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_files_keeps_away_from_its_originals_ranking() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let mut original = Server::on(stores(&postgres, &redis)).await;
    original.post_point("ann").await;
    original.kill();
    postgres.crash();
    let copied = postgres.copied();
    postgres.run();
    copied.run();
    original.run().await;
    let beside = original.beside(stores(&copied, &redis)).await;
    live_apart(&original, &beside).await;
}

/// A copy that is started beside an original which has been running all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_comes_first_drives_its_original_to_another_place() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let original = Server::on(stores(&postgres, &redis)).await;
    original.post_point("ann").await;
    postgres.crash();
    let copied = postgres.copied();
    postgres.run();
    copied.run();
    within(SOON, "the ledger is back", || async {
        original.anonymous(Method::GET, "/readyz").send().await.unwrap().status() == 200
    })
    .await;
    let beside = original.beside(stores(&copied, &redis)).await;
    assert!(original.log().contains("under another id"), "the original has gone before its copy announces anything");
    within(SOON, "and has built its rankings there", || async { original.served_from().await != "ledger; fwd=miss" }).await;
    live_apart(&original, &beside).await;
}

async fn live_apart(original: &Server, copy: &Server) {
    for round in 0..3 {
        original.post_point(&format!("of-the-original-{round}")).await;
        copy.post_point(&format!("of-the-copy-{round}")).await;
        copy.post_point("ann").await;
    }
    for (server, other) in [(original, "of-the-copy"), (copy, "of-the-original")] {
        within(SOON, "only its own", || async {
            let users = users(server, "main").await;
            users.len() == 4 && !users.iter().any(|user| user.starts_with(other))
        })
        .await;
        server.assert_verified().await;
    }
    assert_alive(original).await;
    assert_alive(copy).await;
}
