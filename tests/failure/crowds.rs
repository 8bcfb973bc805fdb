//! One address that opens as many connections or streams as it can, on a server that may open few files: others are served, and so is the address itself.

use std::{net::Ipv4Addr, time::Duration};

use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    h2_client::{self, Connection},
    server::{Server, within},
};

const CROWD: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn server() -> Server {
    let mut server = Server::prepare(Default::default());
    server.limit_files(1024);
    server.with_actions().await
}

/// Reads, posts and watches from an address as somebody who has nothing to do with the crowd.
async fn assert_served(server: &Server, from: Ipv4Addr, watches: bool) {
    // A client of its own each: nothing that was opened before helps.
    let client =
        reqwest::Client::builder().no_proxy().local_address(std::net::IpAddr::from(from)).timeout(Duration::from_secs(5));
    let client = client.build().unwrap();
    for path in ["/livez", "/readyz", "/api/leaderboard?limit=1000&fromRank=2"] {
        let response = client.get(server.url(path)).send().await.unwrap_or_else(|error| panic!("{path} from {from}: {error:?}"));
        assert_eq!(response.status(), StatusCode::OK, "{path} from {from}");
    }
    let post =
        client.post(server.url("/api/scores")).bearer_auth(server.token()).json(&json!({ "actionId": "point", "userId": "u" }));
    assert_eq!(post.send().await.unwrap().status(), StatusCode::OK, "a post from {from}");
    if watches {
        let mut stream = client.get(server.url("/api/leaderboard/stream")).send().await.unwrap();
        let mut begun = String::new();
        while !begun.contains("\ndata: ") {
            begun += std::str::from_utf8(&stream.chunk().await.unwrap().expect("it goes on")).unwrap();
        }
        assert!(begun.contains("event: leaderboard\n"), "{begun}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_address_shut_nobody_out() {
    let server = server().await;
    let mut crowd = Vec::new();
    for _ in 0..800 {
        // Some are refused or make room for others.
        crowd.extend(h2_client::raw(CROWD, server.address()).await.ok());
    }
    assert_served(&server, OTHER, true).await;
    assert_served(&server, CROWD, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_address_shut_nobody_out() {
    let server = server().await;
    let mut crowd = Vec::new();
    for _ in 0..720 {
        let mut stream = h2_client::connect(CROWD, server.address()).await.unwrap();
        stream.write_all(b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        crowd.push(stream);
    }
    // They are not served in the order in which they came; who is refused may find the connection closed.
    let (mut watching, mut refused) = (0, 0);
    for stream in &mut crowd {
        let answer = answered(stream).await;
        let watches = answer.contains("event: leaderboard\n");
        assert!(watches || answer.is_empty() || answer.contains("event: busy\n"), "{answer}");
        *if watches { &mut watching } else { &mut refused } += 1;
    }
    assert!(watching > 0 && refused > 0, "{watching} watch, {refused} are refused");
    assert_served(&server, OTHER, true).await;
    assert_served(&server, CROWD, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_share_connections_shut_nobody_out_either() {
    let server = server().await;
    let mut crowd = Vec::new();
    let mut busy = 0;
    for _ in 0..25 {
        let mut connection = Connection::open(CROWD, server.address(), 64 * 1024).await;
        for _ in 0..30 {
            let mut body = connection.get("/api/leaderboard/stream").await.unwrap().await.unwrap().into_body();
            let begun = body.data().await.unwrap().unwrap();
            busy += usize::from(begun.windows(11).any(|window| window == b"event: busy"));
            crowd.push(body);
        }
        drop(connection.end);
    }
    assert!((200..400).contains(&busy), "{busy} of 750 are refused");
    assert_served(&server, OTHER, true).await;
    assert_served(&server, CROWD, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_nothing_more_is_let_go() {
    let server = Server::embedded().await;
    // It answers every ping.
    let mut connection = Connection::open(CROWD, server.address(), 64 * 1024).await;
    assert_eq!(connection.get("/livez").await.unwrap().await.unwrap().status(), 200);
    let mut kept_alive = h2_client::connect(CROWD, server.address()).await.unwrap();
    kept_alive.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(answered(&mut kept_alive).await.starts_with("HTTP/1.1 200"));
    let port = kept_alive.local_addr().unwrap().port();
    let let_go = async || connection.end.is_finished() && !server.clients().contains(&port);
    within(Duration::from_secs(100), "both are let go", let_go).await;
    connection.end.await.unwrap().expect("it is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_too_many_connections_is_told_so_and_a_trusted_proxy_never_has() {
    let mut server = Server::prepare(Default::default());
    server.set("CONNECTIONS_PER_IP", "3");
    server.set("TRUSTED_PROXIES", "127.0.0.3");
    let server = server.with_actions().await;
    let stream = b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (from, told) in
        [(OTHER, ["leaderboard", "leaderboard", "leaderboard", "503"]), ([127, 0, 0, 3].into(), ["leaderboard"; 4])]
    {
        let mut held = Vec::new();
        for told in told {
            let mut socket = h2_client::connect(from, server.address()).await.unwrap();
            socket.write_all(stream).await.ok();
            let answer = answered(&mut socket).await;
            match told {
                "503" => {
                    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("application/problem+json"), "{answer}");
                    assert!(answer.contains("this address has as many connections open as it may"), "{answer}");
                }
                event => assert!(answer.contains(&format!("event: {event}\n")), "{from}: {answer}"),
            }
            held.push(socket);
        }
    }
}

/// The beginning of an answer.
async fn answered(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let complete = |read: &[u8]| {
        let text = String::from_utf8_lossy(read);
        text.contains("data: ") || text.contains("alive") || text.contains("requestId")
    };
    let reading = async { while !complete(&read) && socket.read_buf(&mut read).await.unwrap_or(0) > 0 {} };
    timeout(Duration::from_secs(10), reading).await.expect("an answer");
    String::from_utf8(read).unwrap()
}
