//! A thousand clients that open a stream and never read it: they cost the kernel's small buffers, not the server's memory, and hold up nobody.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{
    events::Watcher,
    server::{Server, within},
};

const READERS: usize = 1000;
/// How much the server may grow while another ten thousand events pass the readers by, which are 4 MB: kept once for each reader, they would be gigabytes.
const FLAT: u64 = 24 << 20;

async fn stuck(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    stream.write_all(b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    stream
}

async fn post_batches(server: &Server, batches: usize) {
    let submissions: Vec<_> =
        (0..1000).map(|index| json!({ "actionId": "point", "userId": format!("u-{}", index % 50) })).collect();
    let body = json!({ "submissions": submissions });
    for _ in 0..batches {
        let response = server.request(Method::POST, "/api/scores/batch").json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_that_are_stuck_cost_no_memory_and_hold_up_nobody() {
    let mut server = Server::embedded().await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(stuck(server.port).await);
    }
    within(Duration::from_secs(20), "all watch", || async { server.get("/api/leaderboards/main").await["watchers"] == READERS })
        .await;
    // Fills the history and the ring, and the readers' buffers.
    post_batches(&server, 12).await;
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    watcher.next().await;
    let before = server.memory();
    post_batches(&server, 10).await;
    let grown = server.memory().saturating_sub(before);
    assert!(grown < FLAT, "grew by {grown} bytes");

    let receipt = server.post_point("zoe").await;
    timeout(Duration::from_secs(10), watcher.reach(&receipt["version"])).await.expect("whoever reads is served");
    assert_eq!(server.get("/api/leaderboards/main").await["watchers"], READERS + 1, "nobody was thrown out");

    server.terminate();
    let ended = server.ended(Duration::from_secs(10)).await.expect("they do not hold up the end either");
    assert!(ended.success() && !server.log().contains("cut off"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_died_is_let_go_within_two_minutes() {
    let server = Server::embedded().await;
    // Its kernel still answers, which is the harder case: the window stays shut.
    let _dead = stuck(server.port).await;
    let watchers = async || server.get("/api/leaderboards/main").await["watchers"].as_u64().unwrap();
    within(Duration::from_secs(20), "it watches", async || watchers().await == 1).await;
    post_batches(&server, 5).await;
    within(Duration::from_secs(120), "it is let go", async || watchers().await == 0).await;
}
