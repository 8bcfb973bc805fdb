//! One stream, and what its watcher makes of every event.

use std::{
    cell::RefCell,
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use memchr::memmem;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{
    sockets,
    sse::{Cutter, Dechunker, Event},
};
use crate::measure::{latency::Latencies, window::Window};

const DAY: u64 = 86_400_000_000;

/// How long the first event may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all threads count.
#[derive(Default)]
pub struct Counters {
    pub open: AtomicU64,
    pub failed: AtomicU64,
    /// Why the last one failed.
    pub reason: Mutex<String>,
    /// Changes that came to a watcher, whatever the view.
    pub delivered: Arc<AtomicU64>,
}

/// What the watchers of one thread saw.
#[derive(Default)]
pub struct Seen {
    /// From the event's `at` to its receipt, while the window was open.
    pub latencies: Latencies,
    pub missing: u64,
    pub repeated: u64,
    /// Fresh snapshots in place of events.
    pub resets: u64,
    /// Streams that ended by themselves.
    pub ended: u64,
}

impl Seen {
    pub fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.missing += other.missing;
        self.repeated += other.repeated;
        self.resets += other.resets;
        self.ended += other.ended;
    }

    /// Events that did not come as they should.
    pub fn wrong(&self) -> u64 {
        self.missing + self.repeated + self.resets
    }
}

/// What the watchers of one thread share: a buffer to read into and the accounts.
pub struct Desk {
    pub counters: Arc<Counters>,
    pub seen: RefCell<Seen>,
    window: Window,
    buffer: RefCell<Vec<u8>>,
}

impl Desk {
    pub fn new(window: Window, counters: Arc<Counters>) -> Self {
        Self { counters, seen: RefCell::default(), window, buffer: RefCell::new(vec![0; 256 * 1024]) }
    }
}

/// One stream.
pub struct Watcher {
    desk: Rc<Desk>,
    socket: Option<TcpStream>,
    dechunker: Dechunker,
    cutter: Cutter,
    /// The sequence number of the newest event.
    last: Option<u64>,
}

impl Watcher {
    pub fn new(desk: &Rc<Desk>) -> Self {
        Self { desk: Rc::clone(desk), socket: None, dechunker: Dechunker::default(), cutter: Cutter::default(), last: None }
    }

    /// Connects, asks for the stream and waits for the first event.
    pub async fn open(&mut self, server: SocketAddr, index: usize, path: &str) -> Result<()> {
        timeout(PATIENCE, self.first_event(server, index, path)).await.map_err(|_| Error::from(ErrorKind::TimedOut))?
    }

    async fn first_event(&mut self, server: SocketAddr, index: usize, path: &str) -> Result<()> {
        let mut socket = sockets::connect(server, index).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\naccept: text/event-stream\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        self.socket = Some(socket);
        let mut head = Vec::new();
        while self.last.is_none() {
            let body = self.read(|received| match head_ends(&mut head, received) {
                None => Ok(received.len()..received.len()),
                Some(start) if head.starts_with(b"HTTP/1.1 200") => Ok(start..received.len()),
                Some(_) => Err(Error::other(String::from_utf8_lossy(&head[..head.len().min(200)]).into_owned())),
            });
            body.await?;
        }
        Ok(())
    }

    /// Reads until the stream ends.
    pub async fn read_on(&mut self) {
        while self.read(|received| Ok(0..received.len())).await.is_ok() {}
    }

    /// Reads what has come; `body` says which part of it belongs to the body.
    async fn read(&mut self, mut body: impl FnMut(&[u8]) -> Result<std::ops::Range<usize>>) -> Result<()> {
        let socket = self.socket.as_ref().ok_or(ErrorKind::NotConnected)?;
        socket.readable().await?;
        let desk = Rc::clone(&self.desk);
        let mut buffer = desk.buffer.borrow_mut();
        let read = match socket.try_read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let body = body(&buffer[..read])?;
        let now = desk.window.is_open(Instant::now()).then(time_of_day);
        let mut account = Account { last: &mut self.last, seen: &mut desk.seen.borrow_mut(), now, delivered: 0 };
        let cutter = &mut self.cutter;
        let chunked = self.dechunker.feed(&buffer[body], |payload| cutter.feed(payload, |event| account.enter(&event)));
        if account.delivered > 0 {
            desk.counters.delivered.fetch_add(account.delivered, Relaxed);
        }
        if chunked && !self.dechunker.ended { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

/// Collects the head of the answer; where it ends in what was `received`, answers where the body starts there.
fn head_ends(head: &mut Vec<u8>, received: &[u8]) -> Option<usize> {
    if head.ends_with(b"\r\n\r\n") {
        return Some(0);
    }
    let before = head.len();
    head.extend_from_slice(received);
    let end = memmem::find(head, b"\r\n\r\n")? + 4;
    head.truncate(end);
    Some(end - before)
}

fn time_of_day() -> u64 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() % u128::from(DAY)) as u64
}

/// The book-keeping for what one read brought.
struct Account<'a> {
    last: &'a mut Option<u64>,
    seen: &'a mut Seen,
    /// Where the window is open: now, in microseconds of the day.
    now: Option<u64>,
    delivered: u64,
}

impl Account<'_> {
    fn enter(&mut self, event: &Event<'_>) {
        match event.name {
            b"score-updated" | b"leaderboard-patch" => self.change(event),
            b"leaderboard" => {
                self.seen.resets += u64::from(self.last.is_some());
                *self.last = event.sequence().or(Some(0));
            }
            b"leaderboard-changed" => *self.last = event.sequence(),
            _ => {}
        }
    }

    fn change(&mut self, event: &Event<'_>) {
        self.delivered += 1;
        // Other servers than ours may send events without versions: those are only counted.
        if let (Some(sequence), Some(since)) = (event.sequence(), event.since()) {
            let last = self.last.unwrap_or(since);
            self.seen.missing += since.saturating_sub(last);
            self.seen.repeated += u64::from(since < last);
            *self.last = Some(sequence.max(last));
        }
        if let (Some(now), Some(at)) = (self.now, event.at()) {
            // Past midnight a small difference looks like a day; a clock that was set back looks like almost one.
            let micros = (now + DAY - at) % DAY;
            self.seen.latencies.record(Duration::from_micros(if micros > DAY / 2 { 0 } else { micros }));
        }
    }
}
