//! What streams do while the feed cannot tell them what they have to know.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::{
    events::Watcher,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_made_private_while_redis_is_away_is_left_by_those_who_were_not_asked() {
    let mut redis = RedisServer::start(&[]);
    let server = Server::on(Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) }).await;
    let paths = ["/api/leaderboard/stream", "/api/leaderboard/stream?view=top", "/api/leaderboard/stream?view=user&userId=ann"];
    let mut responses = Vec::new();
    for path in paths {
        let mut response = server.anonymous(Method::GET, path).timeout(Duration::from_secs(60)).send().await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        responses.push(response);
    }
    redis.kill();
    let hide = server.request(Method::PATCH, "/api/leaderboards/main").json(&json!({ "visibility": "private" }));
    hide.send().await.unwrap().error_for_status().unwrap();
    // Redis stays away: no event can tell of it.
    for response in responses {
        let rest = tokio::time::timeout(Duration::from_secs(20), response.text()).await.expect("the stream ends").unwrap();
        assert!(rest.contains("event: closed\ndata: {\"reason\":\"private\"}\n"), "{rest}");
        assert!(!rest.contains("event: leaderboard-changed\n"), "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_out_while_neither_redis_nor_the_ledger_answers() {
    let (mut redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let server = Server::on(Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) }).await;
    let mut before = Watcher::open(&server, "/api/leaderboard/stream").await;
    before.next().await;
    let (client, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // A ledger that takes the question and keeps the answer, until this connection ends.
    client.batch_execute("BEGIN; LOCK TABLE entries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    redis.kill();
    let _waits_for_the_ledger = Watcher::open(&server, "/api/leaderboard/stream?view=top&limit=7").await;
    let heartbeats = async {
        before.heartbeat().await;
        before.heartbeat().await;
    };
    tokio::time::timeout(Duration::from_secs(33), heartbeats).await.expect("a heartbeat every 15 s");
}
