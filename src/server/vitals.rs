//! The counters of one connection, and the periodic check that ends it when it makes no progress.
//!
//! No code on the path of a request reads a clock: requests and bytes are counted, and the check compares the counts with those
//! of the last one.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often a connection is checked.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// How long a new connection may take until the head of its first request is complete.
const FIRST_REQUEST: Duration = Duration::from_secs(15);
/// How long a connection may be idle between requests, including the next one's head. Longer than clients' pools keep theirs.
pub(super) const IDLE: Duration = Duration::from_secs(75);
/// How long nothing may arrive over HTTP/2 until the client is pinged. It has as long again to answer.
const QUIET: Duration = Duration::from_secs(20);

/// How long a client may accept nothing of what is sent to it.
const PATIENCE: Duration = Duration::from_secs(25);
/// Bytes per second that a reader has to accept in the long run, so that a byte now and then does not hold an answer for hours.
/// The slowest mobile networks carry several times as many.
const SLOWEST: u64 = 1024;

/// How long a reader may still delay an answer, after it has accepted this much and delayed the rest for this long.
pub(super) fn patience(taken: u64, waited: Duration) -> Duration {
    let in_all = PATIENCE + Duration::from_secs(taken / SLOWEST);
    in_all.saturating_sub(waited).min(PATIENCE)
}

/// The counts of one connection.
#[derive(Default)]
pub(super) struct Vitals {
    /// Bytes read from the socket, and written to it.
    pub read: AtomicU64,
    pub written: AtomicU64,
    /// The last write had to wait: bytes of an answer are still unsent.
    pub unsent: AtomicBool,
    /// Requests received.
    pub begun: AtomicU64,
    /// Requests whose answers are not completely sent.
    pub open: AtomicUsize,
    /// A request was answered although its body was not read to its end: over HTTP/1 nothing can follow.
    pub unread: AtomicBool,
    /// Bytes of requests' bodies, over HTTP/2.
    pub bodies: AtomicU64,
    ended: OnceLock<&'static str>,
    task: AtomicWaker,
}

impl Vitals {
    /// Whether no request is open.
    pub fn is_idle(&self) -> bool {
        self.open.load(Relaxed) == 0
    }

    /// Ends the connection, for this reason.
    pub fn end(&self, why: &'static str) {
        self.ended.set(why).ok();
        self.wake();
    }

    /// Waits until it has to end.
    pub async fn wait_ended(&self) {
        poll_fn(|context| {
            self.task.register(context.waker());
            if self.ended().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Triggers a check of the connection.
    pub fn wake(&self) {
        self.task.wake();
    }

    /// The reason to end, if it has to.
    pub fn ended(&self) -> Option<&'static str> {
        self.ended.get().copied()
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// No request for several seconds.
    Resting,
    /// A request has arrived.
    Stirring,
    /// Nothing has been read for long: the client may be gone.
    Quiet,
    /// No request for the longest time that is allowed.
    Idle,
    /// It has to end at once.
    Over(&'static str),
}

/// Checks a connection's counters. `Pending` means that there is no finding.
pub(super) struct Watch {
    vitals: Arc<Vitals>,
    looks: Interval,
    age: Duration,
    begun: u64,
    idle: Duration,
    /// The last finding was `Resting`, or there was none yet.
    rests: bool,
    read: u64,
    quiet: Duration,
    written: u64,
    /// How long the reader has accepted nothing; how long it has delayed something, and what it has accepted meanwhile.
    blocked: Duration,
    waited: Duration,
    taken: u64,
    /// Whether the client's protocol allows a ping.
    asks: bool,
}

impl Watch {
    pub fn new(vitals: Arc<Vitals>) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        let (age, idle, quiet, blocked, waited) = Default::default();
        Self {
            vitals,
            looks,
            age,
            begun: 0,
            idle,
            rests: true,
            read: 0,
            quiet,
            written: 0,
            blocked,
            waited,
            taken: 0,
            asks: false,
        }
    }

    /// From now on also reports whether the client is quiet.
    pub fn ask(&mut self) {
        self.asks = true;
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Finding> {
        self.vitals.task.register(context.waker());
        if let Some(why) = self.vitals.ended() {
            return Poll::Ready(Finding::Over(why));
        }
        while self.looks.poll_tick(context).is_ready() {
            if let Some(finding) = self.look() {
                return Poll::Ready(finding);
            }
        }
        Poll::Pending
    }

    /// The age of the connection at the last check.
    pub fn age(&self) -> Duration {
        self.age
    }

    fn look(&mut self) -> Option<Finding> {
        let vitals = &self.vitals;
        self.age += LOOK;
        let begun = vitals.begun.load(Relaxed);
        let rests = vitals.is_idle() && begun == self.begun;
        self.begun = begun;
        self.idle = if rests { self.idle + LOOK } else { Duration::ZERO };

        let written = vitals.written.load(Relaxed);
        if !vitals.unsent.load(Relaxed) {
            (self.blocked, self.waited, self.taken) = Default::default();
        } else if written == self.written {
            self.blocked += LOOK;
        } else {
            self.waited += self.blocked + LOOK;
            self.blocked = Duration::ZERO;
            self.taken += written - self.written;
        }
        self.written = written;

        let read = vitals.read.load(Relaxed);
        self.quiet = if read == self.read { self.quiet + LOOK } else { Duration::ZERO };
        self.read = read;

        if begun == 0 && self.age >= FIRST_REQUEST {
            Some(Finding::Over("no request came"))
        } else if self.blocked >= patience(self.taken, self.waited) {
            Some(Finding::Over("what it was sent is not read"))
        } else if self.idle >= IDLE {
            Some(Finding::Idle)
        } else if self.asks && self.quiet >= QUIET {
            Some(if self.quiet >= 2 * QUIET { Finding::Over("it does not answer") } else { Finding::Quiet })
        } else if self.rests != rests {
            self.rests = rests;
            Some(if rests { Finding::Resting } else { Finding::Stirring })
        } else {
            None
        }
    }
}
