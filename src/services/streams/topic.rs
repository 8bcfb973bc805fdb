//! A topic: one shared log of encoded frames, read by any number of connections, each with a cursor of its own.
//!
//! A connection holds no queue: what it has not read yet is in the log, once for all. Whoever falls behind the log's oldest frame is moved to a
//! snapshot and goes on from there. A new *generation* begins where continuity breaks (a new epoch, a hole that cannot be filled): then every
//! cursor starts from a snapshot that says `reset`.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use crate::domain::{entry::Window, ids::LeaderboardId, position::Version};

use super::{
    frame::Frame,
    wakers::{Slot, Wakers},
};
use crate::services::views::{self, WindowView};

/// A snapshot is handed out while at most this many frames follow it; a staler one is renewed first.
const FRESH: u64 = 64;
/// How old what the ledger says may be when it is shown.
const YOUNG: Duration = Duration::from_secs(1);
/// What one read hands to the connection at the most, so that a laggard's catch-up does not become one huge buffer.
const CHUNK: usize = 32 * 1024;

/// What a connection can start from.
#[derive(Clone)]
pub(super) enum State {
    /// A window, encoded per limit on demand.
    Window { leaderboard_id: LeaderboardId, window: Arc<Window> },
    /// The same bytes for everyone.
    Encoded(Frame),
}

/// A state and the position of the first frame that follows it.
struct Snapshot {
    next: u64,
    state: State,
    /// Encoded windows by limit and `reset`; a handful, for connections share limits.
    encoded: HashMap<(usize, bool), Frame>,
}

impl Snapshot {
    fn new(next: u64, state: State) -> Self {
        Self { next, state, encoded: HashMap::new() }
    }

    fn frame(&mut self, limit: usize, reset: bool) -> Frame {
        match &self.state {
            State::Encoded(frame) => frame.clone(),
            State::Window { leaderboard_id, window } => {
                let encode = || {
                    let view = WindowView::new(leaderboard_id, window, limit, reset);
                    Frame::event(window.head.version.as_ref(), "leaderboard", &views::json(&view))
                };
                self.encoded.entry((limit, reset)).or_insert_with(encode).clone()
            }
        }
    }
}

/// What connections wait for that only the hub can bring.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A snapshot that is fresh.
    pub snapshot: bool,
    /// Older frames, from this position on.
    pub from: Option<u64>,
    /// Certainty about the newest position: somebody claims to have seen a later one.
    pub head: bool,
    /// Anything to show to somebody who has seen nothing.
    pub provisional: bool,
}

/// The shared log. Bounded by `capacity` frames: when full, the oldest frame goes, and who has not read it is moved to a snapshot.
pub(super) struct Log {
    /// 0 until there is something to show.
    generation: u64,
    epoch: Arc<str>,
    /// Position of the oldest frame held.
    first: u64,
    frames: VecDeque<Frame>,
    capacity: usize,
    snapshot: Option<Snapshot>,
    /// Shown while it is young to those who have seen nothing and cannot have a snapshot: the ledger's view, without a position.
    provisional: Option<(Instant, Snapshot)>,
    wanted: Wanted,
    /// Positions below this one are gone for good.
    lost_below: u64,
    /// How many comparisons of the newest position with the store's have begun, and the number of the last one that was brought to its end.
    head_checks: (u64, u64),
    heartbeat: (u64, Option<Frame>),
    /// The last event, after which every connection ends.
    end: Option<Frame>,
}

/// Where one connection is.
#[derive(Debug)]
pub(super) struct Cursor {
    generation: u64,
    next: u64,
    /// The position to resume after, until it is resolved.
    resume: Option<Version>,
    /// Still on frames from before this connection: they may be fetched from the history.
    catching_up: bool,
    /// Whether the next snapshot has to say that continuity broke.
    reset: bool,
    provisional_shown: bool,
    /// The comparison that decides about the position to resume after: one that began after this connection did.
    head_check: Option<u64>,
    heartbeat: u64,
    limit: usize,
}

impl Cursor {
    /// A new connection's cursor. `resume`: the position to go on after; `Some(Err(()))` is one that can only be reset.
    pub(super) fn new(limit: usize, resume: Option<Result<Version, ()>>) -> Self {
        Self {
            generation: 0,
            next: 0,
            reset: matches!(resume, Some(Err(()))),
            resume: resume.and_then(Result::ok),
            catching_up: false,
            provisional_shown: false,
            head_check: None,
            heartbeat: 0,
            limit,
        }
    }
}

/// What a cursor finds.
pub(super) enum Read {
    Frames(Bytes),
    /// The last frame; nothing follows.
    Last(Bytes),
    Nothing,
}

/// See the module's documentation.
pub(super) struct Topic {
    /// Held for moments only: to append, or to take what is ready.
    log: Mutex<Log>,
    wakers: Wakers,
    /// Tells the hub that [`Wanted`] has something in it.
    hub: Arc<Notify>,
}

impl Topic {
    /// An empty topic that keeps so many frames.
    pub(super) fn new(capacity: usize, hub: Arc<Notify>) -> Arc<Self> {
        let log = Log {
            generation: 0,
            epoch: "".into(),
            first: 0,
            frames: VecDeque::new(),
            capacity,
            snapshot: None,
            provisional: None,
            wanted: Wanted::default(),
            lost_below: 0,
            head_checks: (0, 0),
            heartbeat: (0, None),
            end: None,
        };
        Arc::new(Self { log: Mutex::new(log), wakers: Wakers::default(), hub })
    }

    pub(super) fn take_slot(&self, cursor: &mut Cursor) -> Slot {
        cursor.heartbeat = self.log.lock().heartbeat.0;
        self.wakers.take_slot()
    }

    pub(super) fn give_back(&self, slot: Slot) {
        self.wakers.give_back(slot);
    }

    pub(super) fn wake_all(&self) {
        self.wakers.wake_all();
    }

    /// What is ready for this cursor; where nothing is, `waker` is called as soon as there may be.
    pub(super) fn read(&self, cursor: &mut Cursor, with_ids: bool, slot: Slot, waker: &Waker) -> Read {
        let mut log = self.log.lock();
        let before = log.wanted;
        let read = log.read(cursor, with_ids);
        if matches!(read, Read::Nothing) {
            self.wakers.wait(slot, waker);
            if log.wanted != before {
                self.hub.notify_one();
            }
        }
        read
    }

    /// What connections wait for, taken over by the hub.
    pub(super) fn take_wanted(&self) -> Wanted {
        let mut log = self.log.lock();
        let wanted = std::mem::take(&mut log.wanted);
        log.head_checks.0 += u64::from(wanted.head);
        wanted
    }

    /// A new generation: positions count on from `next`, in this epoch, and every cursor starts from a snapshot.
    pub(super) fn begin(&self, epoch: Arc<str>, next: u64, state: Option<State>) {
        self.change(|log| {
            log.generation += 1;
            log.epoch = epoch;
            log.first = next;
            log.lost_below = 0;
            log.frames.clear();
            log.snapshot = state.map(|state| Snapshot::new(next, state));
            log.provisional = None;
        });
    }

    /// Appends frames without waking anyone: see [`Topic::wake_all`].
    pub(super) fn append(&self, frames: impl IntoIterator<Item = Frame>) {
        let mut log = self.log.lock();
        for frame in frames {
            log.frames.push_back(frame);
        }
        while log.frames.len() > log.capacity {
            log.frames.pop_front();
            log.first += 1;
        }
    }

    /// Appends a frame, and replaces the snapshot by the state that it leads to.
    pub(super) fn advance(&self, frame: Frame, state: State) {
        self.append([frame]);
        self.change(|log| log.snapshot = Some(Snapshot::new(log.head() + 1, state)));
    }

    /// Appends an event that leaves the state as it is, which new connections need not see.
    pub(super) fn append_notice(&self, frame: Frame) {
        self.append([frame]);
        self.change(|log| {
            let next = log.head() + 1;
            if let Some(snapshot) = &mut log.snapshot {
                snapshot.next = next;
            }
        });
    }

    /// Offers a snapshot that was taken right after the frame at position `next − 1`.
    pub(super) fn offer_snapshot(&self, next: u64, state: State) {
        self.change(|log| {
            if next >= log.first && log.snapshot.as_ref().is_none_or(|held| held.next < next) {
                log.snapshot = Some(Snapshot::new(next, state));
            }
            log.provisional = None;
        });
    }

    /// The snapshot no longer shows what a new one would, although no event followed it: the next connection gets a new one.
    pub(super) fn forget_snapshot(&self) {
        self.log.lock().snapshot = None;
    }

    /// Offers what the ledger says, to those who have seen nothing while there is no position to stand on.
    pub(super) fn offer_provisional(&self, state: State) {
        self.change(|log| {
            log.provisional = Some((Instant::now(), Snapshot::new(0, state)));
            log.wanted.provisional = false;
        });
    }

    /// Whether somebody waits for [`Topic::offer_provisional`].
    pub(super) fn wants_provisional(&self) -> bool {
        self.log.lock().wanted.provisional
    }

    /// Older frames, up to the oldest one held; room is made for them.
    pub(super) fn extend_back(&self, from: u64, frames: Vec<Frame>) {
        self.change(|log| {
            if from + frames.len() as u64 == log.first {
                log.capacity = log.capacity.max(frames.len() + log.frames.len());
                log.first = from;
                frames.into_iter().rev().for_each(|frame| log.frames.push_front(frame));
            }
        });
    }

    /// What came before this position cannot be had any more: who waits for it is moved to a snapshot.
    pub(super) fn give_up_below(&self, position: u64) {
        self.change(|log| log.lost_below = log.lost_below.max(position));
    }

    /// The newest position was compared with the store's, as was wanted.
    pub(super) fn head_checked(&self) {
        self.change(|log| log.head_checks.1 = log.head_checks.0);
    }

    /// Gives room back that [`Topic::extend_back`] took.
    pub(super) fn shrink_to(&self, capacity: usize) {
        self.log.lock().capacity = capacity;
        self.append([]);
    }

    /// Position of the oldest frame held.
    pub(super) fn first(&self) -> u64 {
        self.log.lock().first
    }

    pub(super) fn heartbeat(&self, frame: Frame) {
        self.change(|log| log.heartbeat = (log.heartbeat.0 + 1, Some(frame)));
    }

    /// The last event: every connection ends after it.
    pub(super) fn end(&self, frame: Frame) {
        self.change(|log| log.end = Some(frame));
    }

    fn change(&self, change: impl FnOnce(&mut MutexGuard<'_, Log>)) {
        change(&mut self.log.lock());
        self.wake_all();
    }
}

impl Log {
    /// Position of the newest frame; one less than `first` while there is none.
    fn head(&self) -> u64 {
        (self.first + self.frames.len() as u64).saturating_sub(1)
    }

    fn read(&mut self, cursor: &mut Cursor, with_ids: bool) -> Read {
        self.resolve(cursor);
        if let Some(bytes) = self.ready(cursor, with_ids) {
            return Read::Frames(bytes);
        }
        if let Some(frame) = &self.end {
            return Read::Last(if with_ids { frame.with_id() } else { frame.without_id() });
        }
        match &self.heartbeat {
            (count, Some(frame)) if *count != cursor.heartbeat => {
                cursor.heartbeat = *count;
                Read::Frames(frame.with_id())
            }
            _ => Read::Nothing,
        }
    }

    /// Decides, once there is a generation, whether a cursor can resume where its client left off.
    fn resolve(&mut self, cursor: &mut Cursor) {
        let Some(version) = cursor.resume.as_ref().filter(|_| self.generation > 0) else { return };
        let known = version.epoch == self.epoch && version.seq <= self.head();
        if version.epoch == self.epoch && !known {
            let (begun, ended) = self.head_checks;
            if ended < *cursor.head_check.get_or_insert(begun + 1) {
                self.wanted.head = true;
                return;
            }
        }
        if known {
            cursor.generation = self.generation;
            cursor.next = version.seq + 1;
            cursor.catching_up = true;
        } else {
            cursor.reset = true;
        }
        cursor.resume = None;
    }

    fn ready(&mut self, cursor: &mut Cursor, with_ids: bool) -> Option<Bytes> {
        if cursor.resume.is_some() {
            return None;
        }
        let continuous = cursor.generation == self.generation && self.generation > 0;
        if continuous && cursor.next < self.first && cursor.catching_up && cursor.next >= self.lost_below {
            self.wanted.from = Some(self.wanted.from.map_or(cursor.next, |from| from.min(cursor.next)));
            return None;
        }
        if !continuous || cursor.next < self.first {
            return self.start_over(cursor, with_ids);
        }
        let bytes = self.frames_from(cursor, with_ids)?;
        cursor.catching_up = cursor.catching_up && cursor.next <= self.head();
        Some(bytes)
    }

    fn start_over(&mut self, cursor: &mut Cursor, with_ids: bool) -> Option<Bytes> {
        let head = self.head();
        let reset = cursor.reset || cursor.generation > 0;
        let encode = |frame: Frame| if with_ids { frame.with_id() } else { frame.without_id() };
        match &mut self.snapshot {
            Some(snapshot) if snapshot.next >= self.first && (head + 1).saturating_sub(snapshot.next) <= FRESH => {
                if cursor.generation > 0 {
                    metrics::counter!("scoreboard_stream_resets_total").increment(1);
                }
                (cursor.generation, cursor.next) = (self.generation, snapshot.next);
                (cursor.catching_up, cursor.reset) = (false, false);
                Some(encode(snapshot.frame(cursor.limit, reset)))
            }
            _ => {
                self.wanted.snapshot |= self.generation > 0;
                if cursor.provisional_shown || cursor.generation > 0 {
                    return None;
                }
                let Some((_, provisional)) = self.provisional.as_mut().filter(|(at, _)| at.elapsed() < YOUNG) else {
                    self.wanted.provisional = true;
                    return None;
                };
                cursor.provisional_shown = true;
                Some(encode(provisional.frame(cursor.limit, false)))
            }
        }
    }

    /// Frames from the cursor on: one is shared as it is, several that wait go out together.
    fn frames_from(&self, cursor: &mut Cursor, with_ids: bool) -> Option<Bytes> {
        let encode = |frame: &Frame| if with_ids { frame.with_id() } else { frame.without_id() };
        let mut waiting = self.frames.range((cursor.next - self.first).min(self.frames.len() as u64) as usize..);
        let first = encode(waiting.next()?);
        cursor.next += 1;
        let Some(second) = waiting.next() else { return Some(first) };
        let mut bytes = BytesMut::from(&first[..]);
        for frame in std::iter::once(second).chain(waiting) {
            bytes.extend_from_slice(&encode(frame));
            cursor.next += 1;
            if bytes.len() >= CHUNK {
                break;
            }
        }
        Some(bytes.freeze())
    }
}
