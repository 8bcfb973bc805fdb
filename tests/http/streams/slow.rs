//! A client that does not read: fed from the shared log while that reaches, then moved to a fresh snapshot; never over a gap.

use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{post_batches, text};
use crate::app::{Backend, TestApp};

crate::both_backends!(
    a_client_that_stalls_for_a_while_misses_nothing,
    a_client_that_stalls_for_long_is_moved_to_a_fresh_snapshot
);

/// A stream over a connection whose buffers are small, so that not reading is noticed soon.
struct Slow {
    stream: TcpStream,
    read: Vec<u8>,
    /// Where the next event begins in `read`.
    at: usize,
}

impl Slow {
    async fn open(app: &TestApp) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&app.address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(socket.into()).unwrap();
        // HTTP/1.0 knows no chunks: the body is the bytes up to the end of the connection.
        stream.write_all(b"GET /api/leaderboard/stream HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut slow = Self { stream, read: Vec::new(), at: 0 };
        let head = slow.block(b"\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        slow
    }

    async fn block(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(length) = self.read[self.at..].windows(end.len()).position(|bytes| bytes == end) {
                let block = String::from_utf8(self.read[self.at..self.at + length].to_vec()).unwrap();
                self.at += length + end.len();
                return block;
            }
            self.read.drain(..self.at);
            self.at = 0;
            let reading = self.stream.read_buf(&mut self.read);
            let read =
                tokio::time::timeout(Duration::from_secs(10), reading).await.expect("an event within ten seconds").unwrap();
            assert!(read > 0, "the stream ended");
        }
    }

    /// The next event that has a position.
    async fn next(&mut self) -> (String, Value) {
        loop {
            let block = self.block(b"\n\n").await;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(event), Some(_)) = (field("event: "), field("id: ")) {
                return (event, serde_json::from_str(&field("data: ").unwrap()).unwrap());
            }
        }
    }

    /// Reads up to a version and answers how many events came and how often the client was reset, each announced.
    async fn catch_up(&mut self, mut held: String, last: &str) -> (usize, usize) {
        let (mut events, mut resets) = (0, 0);
        while held != last {
            let (event, data) = self.next().await;
            match event.as_str() {
                "score-updated" => assert_eq!(data["since"], held, "no gap passes unannounced"),
                "leaderboard" => {
                    assert_eq!(data["reset"], true);
                    resets += 1;
                }
                other => panic!("{other}"),
            }
            events += usize::from(event == "score-updated");
            held = text(&data["version"]);
        }
        (events, resets)
    }
}

async fn a_client_that_stalls_for_a_while_misses_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut slow = Slow::open(&app).await;
    let (_, snapshot) = slow.next().await;
    let last = post_batches(&app, 3, 3).await;
    assert_eq!(slow.catch_up(text(&snapshot["version"]), &last).await, (3000, 0));
}

async fn a_client_that_stalls_for_long_is_moved_to_a_fresh_snapshot(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut slow = Slow::open(&app).await;
    let (_, snapshot) = slow.next().await;
    let last = post_batches(&app, 8, 3).await;
    let (events, resets) = slow.catch_up(text(&snapshot["version"]), &last).await;
    assert_eq!(resets, 1);
    assert!(events < 4000, "what it missed was not kept for it: {events}");
    let receipt = app.post_score("zoe", "goal").await;
    assert_eq!(slow.catch_up(last, receipt["version"].as_str().unwrap()).await, (1, 0));
}
