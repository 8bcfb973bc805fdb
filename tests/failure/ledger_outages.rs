//! Postgres is away: writes are refused for a while, reads and streams go on, and nothing acknowledged is lost.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    clients::Clients,
    events::Watcher,
    postgres::{PostgresServer, execute, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_writes_are_refused_and_reads_and_streams_go_on() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let server = Server::on(Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) }).await;
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    let clients = Clients::start(&server, 4);
    clients.acknowledge(50).await;

    postgres.crash();
    clients.fail().await;
    let post = server.request(Method::POST, "/api/scores").json(&json!({ "actionId": "point", "userId": "ann" }));
    let refused = post.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(refused.json::<Value>().await.unwrap()["type"], "urn:scoreboard:problem:storage-unavailable");
    assert_eq!(server.served_from().await, "redis; hit");
    assert_eq!(server.get("/api/leaderboards/main/entries/user-0").await["entry"]["userId"], "user-0");
    let mut late = Watcher::open(&server, "/api/leaderboard/stream?view=top").await;
    assert_eq!(late.next().await.0, "leaderboard");
    let ready = server.anonymous(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.anonymous(Method::GET, "/livez").send().await.unwrap().status(), StatusCode::OK);

    postgres.run();
    clients.acknowledge(50).await;
    within(Duration::from_secs(10), "the server is ready again", || async {
        server.anonymous(Method::GET, "/readyz").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    clients.finish(&server).await;
    server.assert_verified().await;
    watcher.reach(&server.get("/api/leaderboard").await["version"]).await;
    assert_eq!(watcher.resets, 0, "the streams were not even interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_or_hangs_pages_show_their_rows() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let server = Server::on(Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) }).await;
    server.post_point("ann").await;
    let page = async |path: &str| {
        let begun = Instant::now();
        let answer = server.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{path}: {:?}", begun.elapsed());
        answer.text().await.unwrap()
    };
    assert!(
        page("/boards/main").await.contains("<li data-event="),
        "and the latest scores, as long as it is known who may be seen"
    );

    let (client, connection) = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE score_events, withheld_events, entries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert!(page("/boards/main?limit=9").await.contains("data-user=\"ann\""));
    postgres.crash();
    for path in ["/boards/main", "/", "/boards/main?limit=7", "/boards/main/card.svg"] {
        assert!(page(path).await.contains("ann"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_api_keys_are_not_answered_and_tokens_are() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let server = Server::on(Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) }).await;
    let printed = server.command_beside(&["key", "create", "--name", "game", "--scope", "scores:write leaderboards:read"]).await;
    let key = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    let read = |bearer: &str| server.anonymous(Method::GET, "/api/leaderboard").bearer_auth(bearer).send();
    assert_eq!(read(&key).await.unwrap().status(), StatusCode::OK, "a running server accepts it at once");
    postgres.crash();
    within(Duration::from_secs(4), "keys are not answered", || async {
        read(&key).await.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let refused = read(&key).await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(read(server.token()).await.unwrap().status(), StatusCode::OK);
    postgres.run();
    within(Duration::from_secs(15), "keys are answered again", || async { read(&key).await.unwrap().status() == StatusCode::OK })
        .await;
}

/// Redis is away, and the table that everybody wants to read is locked: nobody waits for the time-outs of all who came before.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_ledger_that_hangs_are_refused_together() {
    let database = fresh_database().await;
    let mut redis = RedisServer::start(&[]);
    let server = Server::on(Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) }).await;
    redis.kill();
    assert_eq!(server.served_from().await, "ledger; fwd=miss");
    let (client, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE entries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let begun = Instant::now();
    // A window of which nobody keeps a copy yet.
    let readers = (0..12).map(|_| server.anonymous(Method::GET, "/api/leaderboards/main/entries?limit=7").send());
    for answer in futures_util::future::join_all(readers).await {
        let answer = answer.expect("an answer within the client's ten seconds");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
    }
    // The one who asks is cut off by the server's statement time-out of four seconds.
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(server.served_from().await, "ledger; fwd=miss");
}

/// The ranks in a receipt cannot be computed again, so it has to be on the disk before anybody reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_outlives_a_database_that_dies_right_after_it() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    // What does not wait for the disk gets there late.
    for statement in ["ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()"] {
        execute(&postgres.url(), statement).await;
    }
    let server = Server::on(Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) }).await;
    let score = || {
        let body = json!({ "actionId": "point", "userId": "ann" });
        server.request(Method::POST, "/api/scores").header("Idempotency-Key", "a-goal").json(&body).send()
    };
    let receipt = score().await.unwrap().error_for_status().unwrap().text().await.unwrap();
    assert!(receipt.contains("\"rank\":1"), "{receipt}");
    postgres.crash();
    postgres.run();
    within(Duration::from_secs(20), "the ledger is back", || async {
        score().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    assert_eq!(score().await.unwrap().text().await.unwrap(), receipt);
}
