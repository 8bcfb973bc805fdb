//! Clients that ask for much and read nothing, though they answer every ping: what they hold is bounded, it ends, and nobody else is concerned.

use std::{net::Ipv4Addr, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    h2_client::Connection,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// How soon whoever does not read is gone, and what they held.
const GONE: Duration = Duration::from_secs(60);
/// How much the server may grow meanwhile.
const BOUND: u64 = 32 << 20;

/// A server on these stores whose first thousand entries are an answer of a quarter of a megabyte, which is more than the kernel takes.
async fn server(stores: Stores) -> Server {
    let server = Server::on(stores).await;
    post_thousand(&server).await;
    server
}

async fn post_thousand(server: &Server) {
    let submissions: Vec<_> =
        (0..1000).map(|index| json!({ "actionId": "point", "userId": format!("u-{index:0126}") })).collect();
    let body = json!({ "submissions": submissions });
    let response = server.request(Method::POST, "/api/scores/batch").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_answers_over_http_2_that_nobody_reads_are_bounded_and_end() {
    answers_over_http_2_are_bounded_and_end(Stores::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_answers_over_http_2_that_nobody_reads_are_bounded_and_end() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    answers_over_http_2_are_bounded_and_end(stores).await;
}

async fn answers_over_http_2_are_bounded_and_end(stores: Stores) {
    let server = server(stores).await;
    let before = server.memory();
    let mut connections = Vec::new();
    for _ in 0..20 {
        let mut connection = Connection::open(CLIENT, server.address(), 0).await;
        let end = std::mem::replace(&mut connection.end, tokio::spawn(async { Ok(()) }));
        // As many as the server takes, for as long as it does. Their answers are kept, or they would count as taken back.
        let asking = tokio::spawn(async move {
            let mut answers = Vec::new();
            for index in 0..250 {
                let Ok(answer) = connection.get(&format!("/api/leaderboard?limit=1000&fromRank={}", 1 + index)).await else {
                    break;
                };
                answers.push(answer);
            }
            answers
        });
        connections.push((end, asking));
    }
    let gone = async {
        for (end, _) in &mut connections {
            end.await.unwrap().ok();
        }
    };
    let beside = async {
        loop {
            let posting = timeout(Duration::from_secs(5), server.post_point("ann"));
            posting.await.expect("whoever posts is served");
            let grown = server.memory().saturating_sub(before);
            assert!(grown < BOUND, "grew by {grown} bytes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        gone = timeout(GONE, gone) => gone.expect("a connection whose answers are not read is ended"),
        () = beside => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_http_1_that_nobody_reads_are_bounded_and_end() {
    let server = server(Stores::default()).await;
    let before = server.memory();
    let mut stuck = Vec::new();
    for index in 0..200 {
        stuck.push(stuck_reader(&server, &format!("/api/leaderboard?limit=1000&fromRank={}", 1 + index)).await);
    }
    let ports: Vec<_> = stuck.iter().map(|stuck| stuck.local_addr().unwrap().port()).collect();
    // Those for whom there was no room have been told so, and idle.
    within(2 * GONE, "they are gone", || async {
        let posting = timeout(Duration::from_secs(5), server.post_point("ann"));
        posting.await.expect("whoever posts is served");
        let grown = server.memory().saturating_sub(before);
        assert!(grown < BOUND, "grew by {grown} bytes");
        !server.clients().iter().any(|port| ports.contains(port))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_does_not_hold_an_answer() {
    let server = server(Stores::default()).await;
    let mut stuck = stuck_reader(&server, "/api/leaderboard?limit=1000").await;
    let port = stuck.local_addr().unwrap().port();
    let mut byte = [0];
    let reading = async {
        while stuck.read_exact(&mut byte).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let gone = within(GONE, "it is gone", || async { !server.clients().contains(&port) });
    tokio::select! {
        () = reading => {}
        () = gone => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_http_2_ends_where_it_is_not_read_and_lasts_where_it_is() {
    let server = server(Stores::default()).await;
    let mut connection = Connection::open(CLIENT, server.address(), 16 * 1024).await;
    let idle = connection.get("/api/leaderboard/stream?view=user&userId=nobody").await.unwrap().await.unwrap().into_body();
    let mut read = connection.get("/api/leaderboard/stream").await.unwrap().await.unwrap().into_body();
    let mut unread = connection.get("/api/leaderboard/stream").await.unwrap().await.unwrap().into_body();
    let reading = tokio::spawn(async move {
        let mut bytes = 0;
        while let Some(Ok(piece)) = read.data().await {
            bytes += piece.len();
            read.flow_control().release_capacity(piece.len()).unwrap();
        }
        bytes
    });
    post_thousand(&server).await;
    // What its window held, then the reset.
    let ended = timeout(GONE, async {
        let mut bytes = 0;
        loop {
            match unread.data().await {
                Some(Ok(piece)) => bytes += piece.len(),
                Some(Err(_)) | None => break bytes,
            }
        }
    });
    assert!(ended.await.expect("it is ended") <= 16 * 1024);
    assert!(!reading.is_finished() && !connection.end.is_finished(), "the others on its connection are not concerned");
    let mut idle = idle;
    let heard = timeout(Duration::from_secs(20), async {
        let mut text = String::new();
        while text.matches("event: heartbeat").count() < 2 {
            text += std::str::from_utf8(&idle.data().await.expect("it lasts").expect("it lasts")).unwrap();
        }
    });
    heard.await.expect("a stream on which nothing happens goes on");
    drop(connection.end);
}

/// A connection over HTTP/1 whose client reads nothing and has hardly room for anything.
async fn stuck_reader(server: &Server, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
    let mut stream = socket.connect(server.address()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    stream
}
