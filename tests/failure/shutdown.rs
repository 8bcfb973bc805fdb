//! SIGTERM: a deploy is not held up by open streams, and nobody is cut off without a word.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::{
    postgres::fresh_database,
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
