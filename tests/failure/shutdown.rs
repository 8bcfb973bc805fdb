//! SIGTERM: a deploy is not held up by open streams, and nobody is cut off without a word.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::{
    network::Network,
    postgres::{PostgresServer, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores},
};

async fn ends_within_ten_seconds(mut server: Server) {
    server.post_point("ann").await;
    let mut streams = Vec::new();
    for index in 0..20 {
        let view = ["events", "top", "user&userId=ann"][index % 3];
        let request = server.anonymous(Method::GET, &format!("/api/leaderboard/stream?view={view}"));
        let response = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        streams.push(tokio::spawn(response.text()));
    }
    let begun = Instant::now();
    server.terminate();
    let mut draining = false;
    while let Ok(answer) = server.anonymous(Method::GET, "/readyz").send().await {
        draining |= answer.status() == 503 && answer.text().await.is_ok_and(|text| text.contains("draining"));
    }
    let status = server.ended(Duration::from_secs(10).saturating_sub(begun.elapsed())).await.expect("it ends in time");
    assert!(status.success(), "{status}");
    assert!(draining, "load balancers are told while streams are open");
    for stream in streams {
        let body = stream.await.unwrap().expect("the body is whole");
        assert!(body.trim_end().lines().last().unwrap().starts_with("retry: "), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_a_terminated_server_ends_its_streams_and_exits() {
    ends_within_ten_seconds(Server::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_a_terminated_server_ends_its_streams_and_exits() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    ends_within_ten_seconds(Server::on(stores).await).await;
}

/// Somebody who connects and then neither reads nor goes away.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_nothing_up() {
    use std::io::Write;
    let mut server = Server::embedded().await;
    let mut stalled = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stalled.write_all(b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut half = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    half.write_all(b"POST /api/scores HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").unwrap();
    for _ in 0..300 {
        server.post_point("ann").await;
    }
    server.terminate();
    let status = server.ended(Duration::from_secs(10)).await.expect("it ends in time");
    assert!(status.success(), "{status}");
}

/// Everything that can hold a stop up, at once: watchers, requests that never come to their end, a Redis and a Postgres that hang.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_server_exits_in_time_although_everything_hangs() {
    use std::io::Write;
    let (redis, postgres) = (RedisServer::start(&[]), PostgresServer::start());
    let (to_redis, to_postgres) = (Network::before(redis.port).await, Network::before(postgres.port).await);
    let redis_url = format!("redis://127.0.0.1:{}", to_redis.port);
    let mut server =
        Server::on(Stores { database_url: Some(postgres.url_at(to_postgres.port)), redis_url: Some(redis_url) }).await;
    server.post_point("ann").await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let request = server.anonymous(Method::GET, "/api/leaderboard/stream").timeout(Duration::from_secs(60));
        streams.push(tokio::spawn(request.send().await.unwrap().text()));
    }
    let mut half = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    half.write_all(b"POST /api/scores HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").unwrap();
    to_redis.swallow();
    to_postgres.swallow();
    let body = serde_json::json!({ "actionId": "point", "userId": "ann" });
    let asked = (0..4).map(|_| tokio::spawn(server.request(Method::POST, "/api/scores").json(&body).send()));
    let asked: Vec<_> = asked.collect();
    let begun = Instant::now();
    server.terminate();
    let status = server.ended(Duration::from_secs(10)).await.expect("it ends in time");
    assert!(status.success(), "{status}");
    println!("everything hung, and the server was gone after {:?}", begun.elapsed());
    for answer in asked {
        let unanswered = answer.await.unwrap().map(|response| response.status());
        assert!(unanswered.is_err() || unanswered.is_ok_and(|status| status == StatusCode::SERVICE_UNAVAILABLE));
    }
}
