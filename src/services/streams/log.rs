//! The log of a topic and the cursors that read it: what a connection is given next, decided under the topic's lock.

mod hidden;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::domain::version::Version;

use super::{
    cursor::Cursor,
    frame::{Form, Frame},
    measures::{MEASURES, Restart},
    snapshot::Snapshot,
};

/// A snapshot is sent while at most this many frames follow it; a staler one is renewed first.
const FRESH: u64 = 64;
/// The greatest age at which the ledger's answer is shown.
const YOUNG: Duration = Duration::from_secs(1);
/// The most bytes that one read hands to the connection, so that a slow reader's catch-up does not become one huge buffer.
const PIECE: usize = 16 * 1024;
/// Merged pieces that are cached. Connections that are woken together are equally far behind, so a few of them serve thousands.
const MERGED: usize = 4;

/// What connections wait for that only the hub can bring.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A fresh snapshot.
    pub snapshot: bool,
    /// Older frames, from this position on.
    pub from: Option<u64>,
    /// Confirmation of the newest position: a client claims to have seen a later one.
    pub head: bool,
    /// Anything to show to a client that has seen nothing.
    pub provisional: bool,
}

/// The shared log. Bounded by `capacity` frames: when full, the oldest is dropped, and cursors before it move to a snapshot.
pub(super) struct Log {
    /// 0 until there is something to show.
    pub(super) generation: u64,
    pub(super) epoch: Arc<str>,
    /// The season that the newest frame leads to; 0 while that is not known.
    pub(super) season: i64,
    /// Position of the oldest frame held.
    pub(super) first: u64,
    pub(super) frames: VecDeque<Frame>,
    pub(super) capacity: usize,
    merged: VecDeque<Merged>,
    /// Why the generation began.
    pub(super) restart: Restart,
    pub(super) snapshot: Option<Snapshot>,
    /// Shown while it is young to clients that have seen nothing and cannot have a snapshot: the ledger's view, unpositioned.
    pub(super) provisional: Option<(Instant, Snapshot)>,
    pub(super) wanted: Wanted,
    /// Positions below this one are permanently lost.
    pub(super) lost_below: u64,
    /// The position of the newest frame that only readers of private leaderboards may see. Other cursors start after it.
    pub(super) private_until: u64,
    /// Clients that come back from up to here start over: what they missed shows somebody who is hidden since.
    pub(super) hidden_until: u64,
    /// How many comparisons of the newest position with the store's have begun, and the number of the last completed one.
    pub(super) head_checks: (u64, u64),
    pub(super) heartbeat: (u64, Option<Frame>),
    pub(super) end: Option<End>,
}

/// Several frames as one piece, shared by all cursors that read them together.
struct Merged {
    from: u64,
    form: Form,
    count: u64,
    bytes: Bytes,
}

/// Why nothing will follow what the log holds.
pub(super) enum End {
    /// The last event, after which every connection ends.
    Last(Frame),
    /// The hub is gone and nothing will be written any more: connections end, and clients reconnect to another hub.
    Abandoned,
}

/// The result of a read.
pub(super) enum Read {
    Frames(Bytes),
    /// The last frame; nothing follows.
    Last(Bytes),
    /// Nothing follows.
    Over,
    /// Nothing follows for a connection that is bound to a season which has ended.
    SeasonOver,
    /// Nothing follows for a connection that may not read a private leaderboard.
    Barred,
    Nothing,
}

impl Log {
    /// An empty log for this many frames.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            generation: 0,
            epoch: "".into(),
            season: 0,
            first: 0,
            frames: VecDeque::new(),
            capacity,
            merged: VecDeque::new(),
            restart: Restart::Epoch,
            snapshot: None,
            provisional: None,
            wanted: Wanted::default(),
            lost_below: 0,
            private_until: 0,
            hidden_until: 0,
            head_checks: (0, 0),
            heartbeat: (0, None),
            end: None,
        }
    }

    /// Position of the newest frame; one less than `first` while there is none.
    pub(super) fn head(&self) -> u64 {
        (self.first + self.frames.len() as u64).saturating_sub(1)
    }

    /// What is ready for this cursor, which may see the whole log; notes in `wanted` what it waits for.
    pub(super) fn read(&mut self, cursor: &mut Cursor) -> Read {
        self.resolve(cursor);
        if let Some(bytes) = self.ready(cursor) {
            return Read::Frames(bytes);
        }
        if self.is_over_for(cursor) {
            return Read::SeasonOver;
        }
        match &self.end {
            Some(End::Last(frame)) => {
                // An id would tell a client that it has read all before it, even if it has not.
                let ids = cursor.form.ids && self.has_read_all(cursor);
                return Read::Last(frame.encoded(Form { ids, ..cursor.form }));
            }
            Some(End::Abandoned) => return Read::Over,
            None => {}
        }
        self.read_heartbeat(cursor)
    }

    /// Whether the season that this cursor is bound to has ended.
    fn is_over_for(&self, cursor: &Cursor) -> bool {
        cursor.over || cursor.season.is_some_and(|season| self.season > season)
    }

    /// The newest heartbeat, once.
    pub(super) fn read_heartbeat(&self, cursor: &mut Cursor) -> Read {
        match &self.heartbeat {
            (count, Some(frame)) if *count != cursor.heartbeat => {
                cursor.heartbeat = *count;
                Read::Frames(frame.encoded(cursor.form))
            }
            _ => Read::Nothing,
        }
    }

    /// The newest position, once there is a generation.
    pub(super) fn position(&self) -> Option<Version> {
        (self.generation > 0).then(|| Version::new(Arc::clone(&self.epoch), self.head()))
    }

    /// Appends a frame, and drops the oldest one when full.
    pub(super) fn push(&mut self, frame: Frame) {
        self.season = frame.ends.map_or(self.season, |ended| ended + 1);
        self.frames.push_back(frame);
        if self.frames.back().is_some_and(|frame| frame.private) {
            self.private_until = self.head();
        }
        self.note_hidden();
        self.shrink_to(self.capacity);
    }

    /// Keeps only the newest `capacity` frames from now on.
    pub(super) fn shrink_to(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.frames.len() > capacity {
            self.frames.pop_front();
            self.first += 1;
        }
    }

    /// Prepends older frames that end where the log begins; the capacity grows to hold them.
    pub(super) fn extend_back(&mut self, from: u64, frames: Vec<Frame>) {
        let newest_private = frames.iter().rposition(|frame| frame.private).map_or(0, |index| from + index as u64);
        self.private_until = self.private_until.max(newest_private);
        self.capacity = self.capacity.max(frames.len() + self.frames.len());
        self.first = from;
        frames.into_iter().rev().for_each(|frame| self.frames.push_front(frame));
        self.find_hidden();
    }

    fn has_read_all(&self, cursor: &Cursor) -> bool {
        let continuous = cursor.generation == self.generation && self.generation > 0;
        continuous && cursor.resume.is_none() && cursor.next == self.head() + 1
    }

    /// Decides, once there is a generation, whether a cursor can resume where its client stopped.
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

    fn ready(&mut self, cursor: &mut Cursor) -> Option<Bytes> {
        // The season that it is bound to may have begun in the ledger, and not yet here.
        let early = self.season > 0 && cursor.season.is_some_and(|season| self.season < season);
        if cursor.resume.is_some() || cursor.over || early {
            return None;
        }
        let continuous = cursor.generation == self.generation && self.generation > 0;
        if continuous && cursor.next < self.first && cursor.catching_up && cursor.next >= self.lost_below {
            self.wanted.from = Some(self.wanted.from.map_or(cursor.next, |from| from.min(cursor.next)));
            return None;
        }
        let shows_hidden = cursor.catching_up && cursor.next <= self.hidden_until;
        if !continuous || cursor.next < self.first || shows_hidden || (!cursor.entitled && cursor.next <= self.private_until) {
            return self.start_over(cursor);
        }
        let bytes = self.frames_from(cursor)?;
        cursor.catching_up = cursor.catching_up && cursor.next <= self.head();
        Some(bytes)
    }

    fn start_over(&mut self, cursor: &mut Cursor) -> Option<Bytes> {
        if self.is_over_for(cursor) {
            return None;
        }
        let head = self.head();
        let reset = cursor.reset || cursor.generation > 0;
        let form = cursor.form;
        let oldest = if cursor.entitled { self.first } else { self.first.max(self.private_until + 1) };
        let oldest = oldest.max(self.hidden_until + 1);
        match &mut self.snapshot {
            Some(snapshot) if snapshot.next >= oldest && (head + 1).saturating_sub(snapshot.next) <= FRESH => {
                match cursor.generation {
                    0 if !cursor.reset => {}
                    0 => MEASURES.restarted(Restart::Position),
                    generation if generation == self.generation => MEASURES.restarted(Restart::Behind),
                    _ => MEASURES.restarted(self.restart),
                }
                (cursor.generation, cursor.next) = (self.generation, snapshot.next);
                (cursor.catching_up, cursor.reset) = (false, false);
                Some(snapshot.frame(cursor.limit, reset).encoded(form))
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
                Some(provisional.frame(cursor.limit, false).encoded(form))
            }
        }
    }

    /// Frames from the cursor on: a single one is shared as it is, several are merged into one piece.
    fn frames_from(&mut self, cursor: &mut Cursor) -> Option<Bytes> {
        let first = self.frames.get((cursor.next - self.first) as usize)?;
        // Frames read while catching up are as old as the client's absence, so their lag is not recorded.
        cursor.oldest = first.at.filter(|_| !cursor.catching_up);
        let (count, bytes) = match self.head() - cursor.next {
            0 => (1, first.encoded(cursor.form)),
            _ => self.merge(cursor.next, cursor.form),
        };
        cursor.next += count;
        let last = self.frames.get((cursor.next - 1 - self.first) as usize);
        cursor.over = cursor.season.is_some() && last.is_some_and(|frame| frame.ends == cursor.season);
        MEASURES.deliveries.increment(count);
        Some(bytes)
    }

    /// The frames from this position on as one piece, and how many they are.
    fn merge(&mut self, from: u64, form: Form) -> (u64, Bytes) {
        let until = self.head() + 1;
        let whole = |merged: &&Merged| merged.from + merged.count == until || merged.bytes.len() >= PIECE;
        let known = self.merged.iter().find(|merged| merged.from == from && merged.form == form).filter(whole);
        if let Some(merged) = known {
            return (merged.count, merged.bytes.clone());
        }
        let (mut bytes, mut count) = (BytesMut::new(), 0);
        for frame in self.frames.range((from - self.first) as usize..) {
            bytes.extend_from_slice(&frame.encoded(form));
            count += 1;
            if bytes.len() >= PIECE || frame.ends.is_some() {
                break;
            }
        }
        let bytes = bytes.freeze();
        self.merged.retain(|merged| merged.from != from || merged.form != form);
        if self.merged.len() == MERGED {
            self.merged.pop_front();
        }
        self.merged.push_back(Merged { from, form, count, bytes: bytes.clone() });
        (count, bytes)
    }

    /// Begins a generation: positions count on from `next`, in this epoch and season, and every cursor starts from a snapshot.
    pub(super) fn begin(&mut self, epoch: Arc<str>, season: i64, next: u64, snapshot: Option<Snapshot>) {
        self.restart = if self.epoch == epoch { Restart::Gap } else { Restart::Epoch };
        self.generation += 1;
        (self.epoch, self.season) = (epoch, season);
        self.first = next;
        (self.lost_below, self.private_until, self.hidden_until) = (0, 0, 0);
        self.frames.clear();
        self.merged.clear();
        self.snapshot = snapshot;
        self.provisional = None;
    }
}
