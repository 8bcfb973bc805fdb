//! The log of a topic and the cursors that read it: what a connection is given next, decided under the topic's lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::{
    domain::{entry::Window, ids::LeaderboardId, position::Version},
    services::views::{self, WindowView},
};

use super::frame::Frame;

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
pub(super) struct Snapshot {
    pub(super) next: u64,
    state: State,
    /// Encoded windows by limit and `reset`; a handful, for connections share limits.
    encoded: HashMap<(usize, bool), Frame>,
}

impl Snapshot {
    pub(super) fn new(next: u64, state: State) -> Self {
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
    pub(super) generation: u64,
    pub(super) epoch: Arc<str>,
    /// Position of the oldest frame held.
    pub(super) first: u64,
    pub(super) frames: VecDeque<Frame>,
    pub(super) capacity: usize,
    pub(super) snapshot: Option<Snapshot>,
    /// Shown while it is young to those who have seen nothing and cannot have a snapshot: the ledger's view, without a position.
    pub(super) provisional: Option<(Instant, Snapshot)>,
    pub(super) wanted: Wanted,
    /// Positions below this one are gone for good.
    pub(super) lost_below: u64,
    /// How many comparisons of the newest position with the store's have begun, and the number of the last one that was brought to its end.
    pub(super) head_checks: (u64, u64),
    pub(super) heartbeat: (u64, Option<Frame>),
    pub(super) end: Option<End>,
}

/// Why nothing will follow what the log holds.
pub(super) enum End {
    /// The last event, after which every connection ends.
    Last(Frame),
    /// The hub is gone, and nobody will write any more: connections end, and clients come back to another hub.
    Abandoned,
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
    pub(super) heartbeat: u64,
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
    /// Nothing follows.
    Over,
    Nothing,
}

impl Log {
    /// An empty log that keeps so many frames.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
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
        }
    }

    /// Position of the newest frame; one less than `first` while there is none.
    pub(super) fn head(&self) -> u64 {
        (self.first + self.frames.len() as u64).saturating_sub(1)
    }

    /// What is ready for this cursor; notes in `wanted` what it waits for.
    pub(super) fn read(&mut self, cursor: &mut Cursor, with_ids: bool) -> Read {
        self.resolve(cursor);
        if let Some(bytes) = self.ready(cursor, with_ids) {
            return Read::Frames(bytes);
        }
        match &self.end {
            // An id would tell clients that have not read all before it that they have.
            Some(End::Last(frame)) if with_ids && self.has_read_all(cursor) => return Read::Last(frame.with_id()),
            Some(End::Last(frame)) => return Read::Last(frame.without_id()),
            Some(End::Abandoned) => return Read::Over,
            None => {}
        }
        match &self.heartbeat {
            (count, Some(frame)) if *count != cursor.heartbeat => {
                cursor.heartbeat = *count;
                Read::Frames(frame.with_id())
            }
            _ => Read::Nothing,
        }
    }

    fn has_read_all(&self, cursor: &Cursor) -> bool {
        let continuous = cursor.generation == self.generation && self.generation > 0;
        continuous && cursor.resume.is_none() && cursor.next == self.head() + 1
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
