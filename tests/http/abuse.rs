//! Clients that keep the server busy with something else than requests, or do not finish what they begin.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    app::{Backend, TestApp, eventually},
    h2_client::{Connection, connect, frame, raw},
};

const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// More than any client has to say that asks for nothing.
const MUCH: usize = 16 << 20;

/// Sends a piece over and over, and answers how many bytes went out until the server had enough; reads meanwhile, as a client does that wants to go on.
async fn flood(socket: TcpStream, piece: &[u8]) -> usize {
    let (mut read, mut write) = socket.into_split();
    let reading = tokio::spawn(async move {
        let mut scratch = vec![0; 64 * 1024];
        while read.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
    });
    let pieces = piece.repeat((8 * 1024_usize).div_ceil(piece.len()));
    let mut sent = 0;
    let flooding = async {
        while sent < MUCH && !reading.is_finished() && write.write_all(&pieces).await.is_ok() {
            sent += pieces.len();
        }
    };
    timeout(Duration::from_secs(60), flooding).await.expect("the connection ends, or takes what it is sent");
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_into_a_stream_does_not_watch() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let mut socket = connect(CLIENT, app.address).await.unwrap();
    socket.write_all(b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut begun = Vec::new();
    while !String::from_utf8_lossy(&begun).contains("event: leaderboard\n") {
        socket.read_buf(&mut begun).await.unwrap();
    }
    // What was sent ahead is no offence.
    socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    app.post_score("ann", "goal").await;
    while !String::from_utf8_lossy(&begun).contains("event: score-updated\n") {
        socket.read_buf(&mut begun).await.unwrap();
    }
    let sent = flood(socket, b"garbage").await;
    assert!(sent < MUCH, "{sent} bytes were read");
    let nobody = || async { app.get("/api/leaderboards/main").await["watchers"] == 0 };
    eventually("nobody watches", nobody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_nothing_end_a_connection() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let header = |flags, block: &[u8]| frame(1, flags, 1, block);
    // GET / of localhost, by the static table, as HPACK writes it.
    let get = [&[0x82, 0x84, 0x86, 0x41, 9][..], b"localhost"].concat();
    let floods: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("pings", vec![], frame(6, 0, 0, &[0; 8])),
        ("settings", vec![], frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("priorities", vec![], frame(2, 0, 3, &[0, 0, 0, 0, 16])),
        ("unknown frames", vec![], frame(0xee, 0, 0, &[0; 100])),
        ("windows", header(5, &get), frame(8, 0, 0, &[0, 0, 0, 1])),
        ("empty continuations", header(0, &get), frame(9, 0, 1, &[])),
    ];
    for (name, first, piece) in floods {
        let mut socket = raw(CLIENT, app.address).await.unwrap();
        socket.write_all(&first).await.unwrap();
        let sent = flood(socket, &piece).await;
        assert!(sent < MUCH, "{name}: {sent} bytes were read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_a_stream_was_asked_for_with_is_not_read() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let mut connection = Connection::open(CLIENT, app.address, 64 * 1024).await;
    let request = Request::get("http://localhost/api/leaderboard/stream").body(()).unwrap();
    let (answer, mut body) = connection.send(request).await.unwrap();
    let mut events = answer.await.unwrap().into_body();
    events.data().await.unwrap().unwrap();
    let mut sent = 0;
    // The window is all that goes out: nobody opens it again.
    while sent < MUCH {
        body.reserve_capacity(16 * 1024);
        let room = timeout(Duration::from_secs(1), std::future::poll_fn(|context| body.poll_capacity(context))).await;
        let Ok(Some(Ok(room))) = room else { break };
        sent += room;
        body.send_data(Bytes::from(vec![0; room]), false).unwrap();
    }
    assert!(sent <= 128 * 1024, "{sent} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_requests_back_over_and_over_is_asked_to_calm_down() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let mut connection = Connection::open(CLIENT, app.address, 64 * 1024).await;
    let mut taken_back = 0;
    while taken_back < 5000 {
        // They wait for a version that never comes.
        let mut waiting = Vec::new();
        for _ in 0..10 {
            waiting.extend(connection.get("/api/leaderboard?minVersion=zzzzzzzzzzz-1").await.ok());
        }
        // With this answer the server has begun with those before it.
        let Ok(answer) = connection.get("/livez").await else { break };
        if answer.await.is_err() {
            break;
        }
        taken_back += waiting.len();
    }
    assert!((100..1000).contains(&taken_back), "{taken_back}");
    timeout(Duration::from_secs(10), connection.end).await.expect("it is ended").unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_a_408() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let begun = Instant::now();
    let head = "POST /api/scores HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let authorization = format!("Authorization: Bearer {}\r\n", app.token("game", "scores:write"));
    let mut socket = connect(CLIENT, app.address).await.unwrap();
    socket.write_all(format!("{head}{authorization}Content-Length: 100\r\n\r\n{{\"actionId\"").as_bytes()).await.unwrap();
    // The same a byte at a time, which never stops.
    let mut trickle = connect(CLIENT, app.address).await.unwrap();
    trickle.write_all(format!("{head}{authorization}Content-Length: 1000\r\n\r\n").as_bytes()).await.unwrap();
    let trickling = async {
        let (mut read, mut write) = trickle.split();
        let mut answer = String::new();
        let dripping = async {
            while write.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            read = read.read_to_string(&mut answer) => drop(read),
            () = dripping => {}
        }
        answer
    };
    let mut connection = Connection::open(CLIENT, app.address, 64 * 1024).await;
    let request = Request::post("http://localhost/api/scores").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {}", app.token("game", "scores:write")));
    let (h2, _body) = connection.send(request.body(()).unwrap()).await.unwrap();
    let mut stopped = String::new();
    let (stopped_read, trickled, h2) =
        timeout(Duration::from_secs(40), async { tokio::join!(socket.read_to_string(&mut stopped), trickling, h2) })
            .await
            .expect("they are answered");
    stopped_read.unwrap();
    for answer in [&stopped, &trickled] {
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("urn:scoreboard:problem:timeout"), "{answer}");
    }
    let h2 = h2.unwrap();
    assert_eq!((h2.status().as_u16(), h2.headers()["content-type"].as_bytes()), (408, &b"application/problem+json"[..]));
    assert!(begun.elapsed() > Duration::from_secs(5), "a slow client has its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_closed_its_side_is_gone() {
    let app = TestApp::spawn(Backend::Embedded).await;
    for request in ["GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: loc", ""] {
        let mut socket = connect(CLIENT, app.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        timeout(Duration::from_secs(10), socket.read_to_end(&mut Vec::new())).await.expect("it is closed").ok();
    }
}

/// Or its next request would go into a connection that ends.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_before_the_body_came_is_told_that_the_connection_ends() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let body = r#"{"actionId":"goal","userId":"ann"}"#;
    let answer = async |token: &str| {
        let mut socket = connect(CLIENT, app.address).await.unwrap();
        let head = format!(
            "POST /api/scores HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        socket.write_all(body.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
            socket.read_buf(&mut answer).await.unwrap();
        }
        String::from_utf8_lossy(&answer).to_lowercase()
    };
    for token in ["none", &app.token("reader", "leaderboards:read")] {
        let refused = answer(token).await;
        assert!(refused.starts_with("http/1.1 40") && refused.contains("connection: close"), "{refused}");
    }
    let accepted = answer(&app.token("game", "scores:write")).await;
    assert!(accepted.starts_with("http/1.1 200") && !accepted.contains("connection: close"), "{accepted}");
}
