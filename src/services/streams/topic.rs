//! A topic: one shared log of encoded frames, read by any number of connections, each with a cursor of its own.
//!
//! A connection has no queue: what it has not read yet is in the log, once for all. A connection that falls behind the log's
//! oldest frame is moved to a snapshot and continues from there. A new *generation* begins where continuity breaks (a new
//! epoch, a gap that cannot be filled): then every cursor starts from a snapshot that says `reset`.

use std::{sync::Arc, task::Waker, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use crate::domain::version::Version;

use super::{
    access::{Access, ToAnybody},
    cursor::Cursor,
    frame::Frame,
    log::{End, Log, Read, Wanted},
    measures::MEASURES,
    snapshot::{Snapshot, State},
    wakers::{Slot, Wakers},
};

/// Heartbeats are not urgent, even where events are written at once.
const HEARTBEAT_SPREAD: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(super) struct Topic {
    /// Locked briefly: to append, or to take what is ready.
    log: Mutex<Log>,
    wakers: Arc<Wakers>,
    /// When something changes, waiting connections are woken over this period.
    spread: Duration,
    /// Notifies the hub that [`Wanted`] has something in it.
    hub: Arc<Notify>,
    access: Arc<Access>,
}

impl Topic {
    /// An empty topic with this capacity in frames. When something changes, waiting connections are woken at once, or spread
    /// over a period.
    pub(super) fn new(capacity: usize, spread: Duration, hub: Arc<Notify>, access: Arc<Access>) -> Arc<Self> {
        Arc::new(Self { log: Mutex::new(Log::new(capacity)), wakers: Arc::default(), spread, hub, access })
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

    /// Wakes one connection.
    pub(super) fn wake(&self, slot: Slot) {
        self.wakers.wake(slot);
    }

    /// Calls `waker` as soon as there may be something to read, whether or not there is already.
    pub(super) fn wait(&self, slot: Slot, waker: &Waker) {
        let _unchanged = self.log.lock();
        self.wakers.wait(slot, waker);
    }

    /// What is ready for this cursor; where nothing is, `waker` is called as soon as there may be.
    pub(super) fn read(&self, cursor: &mut Cursor, slot: Slot, waker: &Waker) -> Read {
        let mut log = self.log.lock();
        let before = log.wanted;
        let granted = if cursor.entitled { ToAnybody::Everything } else { self.access.to_anybody() };
        let read = match granted {
            ToAnybody::Everything => log.read(cursor),
            ToAnybody::Nothing => log.read_heartbeat(cursor),
            ToAnybody::Farewell => return Read::Barred,
        };
        if matches!(read, Read::Nothing) {
            self.wakers.wait(slot, waker);
        } else {
            MEASURES.writes.increment(1);
        }
        // Compared after the read: if only a heartbeat went out, the next read finds nothing new to request.
        if log.wanted != before {
            self.hub.notify_one();
        }
        read
    }

    /// What connections wait for, taken by the hub.
    pub(super) fn take_wanted(&self) -> Wanted {
        let mut log = self.log.lock();
        let wanted = std::mem::take(&mut log.wanted);
        log.head_checks.0 += u64::from(wanted.head);
        wanted
    }

    /// A new generation: positions count on from `next`, in this epoch and season, and every cursor starts from a snapshot.
    pub(super) fn begin(&self, epoch: Arc<str>, season: i64, next: u64, state: Option<State>) {
        self.change(|log| log.begin(epoch, season, next, state.map(|state| Snapshot::new(next, state))));
    }

    /// Appends the end of a season: whoever comes after it does not start from the state before it.
    pub(super) fn end_season(&self, frame: Frame) {
        self.append([frame]);
        self.change(|log| log.snapshot = None);
    }

    /// Appends frames without waking anyone: see [`Topic::wake_all`].
    pub(super) fn append(&self, frames: impl IntoIterator<Item = Frame>) {
        let mut log = self.log.lock();
        frames.into_iter().for_each(|frame| log.push(frame));
    }

    /// Appends a frame, and replaces the snapshot by the state that it leads to.
    pub(super) fn advance(&self, frame: Frame, state: State) {
        self.append([frame]);
        self.change(|log| log.snapshot = Some(Snapshot::new(log.head() + 1, state)));
    }

    /// Appends an event that leaves the state unchanged, and that new connections need not see.
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

    /// Restores the state that the frames lead to if the snapshot was forgotten. If it was not, nobody waits for it, and nobody
    /// is woken.
    pub(super) fn restore_snapshot(&self, state: State) {
        let mut log = self.log.lock();
        if log.snapshot.is_none() {
            log.snapshot = Some(Snapshot::new(log.head() + 1, state));
            drop(log);
            self.wakers.wake_over(self.spread);
        }
    }

    /// Offers the ledger's answer to clients that have seen nothing, while there is no position to start from.
    pub(super) fn offer_provisional(&self, state: State) {
        self.change(|log| {
            log.provisional = Some((Instant::now(), Snapshot::new(0, state)));
            log.wanted.provisional = false;
        });
    }

    /// Whether a connection waits for [`Topic::offer_provisional`].
    pub(super) fn wants_provisional(&self) -> bool {
        self.log.lock().wanted.provisional
    }

    /// Older frames, up to the oldest one held; the capacity grows to hold them.
    pub(super) fn extend_back(&self, from: u64, frames: Vec<Frame>) {
        self.change(|log| {
            if from + frames.len() as u64 == log.first {
                log.extend_back(from, frames);
            }
        });
    }

    /// What came before this position is no longer available: a connection that waits for it is moved to a snapshot.
    pub(super) fn give_up_below(&self, position: u64) {
        self.change(|log| log.lost_below = log.lost_below.max(position));
    }

    /// The requested comparison of the newest position with the store's is done.
    pub(super) fn head_checked(&self) {
        self.change(|log| log.head_checks.1 = log.head_checks.0);
    }

    /// Releases the capacity that [`Topic::extend_back`] took.
    pub(super) fn shrink_to(&self, capacity: usize) {
        self.log.lock().shrink_to(capacity);
    }

    /// The newest position, once there is something to show.
    pub(super) fn position(&self) -> Option<Version> {
        self.log.lock().position()
    }

    /// Position of the oldest frame held.
    pub(super) fn first(&self) -> u64 {
        self.log.lock().first
    }

    pub(super) fn heartbeat(&self, frame: Frame) {
        let mut log = self.log.lock();
        log.heartbeat = (log.heartbeat.0 + 1, Some(frame));
        drop(log);
        self.wakers.wake_over(if self.spread.is_zero() { HEARTBEAT_SPREAD } else { self.spread });
    }

    /// The last event: every connection ends after it.
    pub(super) fn end(&self, frame: Frame) {
        self.change(|log| log.end = Some(End::Last(frame)));
    }

    /// Nothing will be written here any more: every connection ends, so that its client reconnects.
    pub(super) fn abandon(&self) {
        self.change(|log| {
            log.end.get_or_insert(End::Abandoned);
        });
    }

    fn change(&self, change: impl FnOnce(&mut MutexGuard<'_, Log>)) {
        change(&mut self.log.lock());
        self.wakers.wake_over(self.spread);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;
    use crate::domain::{leaderboard::Visibility, time::Timestamp};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(seq: u64) -> Frame {
        Frame::event(Some(&Version::new("e", seq)), "score-updated", "{}")
    }

    fn state() -> State {
        State::Encoded(frame(0))
    }

    fn text(read: &Read) -> &str {
        match read {
            Read::Frames(bytes) | Read::Last(bytes) => std::str::from_utf8(bytes).unwrap(),
            Read::Over | Read::SeasonOver | Read::Barred | Read::Nothing => "",
        }
    }

    #[test]
    fn nobody_is_woken_for_a_snapshot_that_was_not_missing() {
        let topic = Topic::new(4, Duration::ZERO, Arc::default(), Access::open());
        topic.begin("e".into(), 1, 1, Some(state()));
        let (mut cursor, wakes) = (Cursor::new(10, None, true, false), Arc::new(Wakes::default()));
        let (slot, waker) = (topic.take_slot(&mut cursor), Waker::from(Arc::clone(&wakes)));
        topic.read(&mut cursor, slot, &waker);
        assert!(matches!(topic.read(&mut cursor, slot, &waker), Read::Nothing));
        topic.restore_snapshot(state());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        topic.forget_snapshot();
        topic.restore_snapshot(state());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_last_event_carries_its_id_only_for_readers_of_all_before_it() {
        let topic = Topic::new(4, Duration::ZERO, Arc::default(), Access::open());
        topic.begin("e".into(), 1, 1, Some(state()));
        topic.append([frame(1)]);
        let resume = |seq| Cursor::new(10, Some(Ok(Version::new("e", seq))), true, false);
        let (mut reading, mut ahead, mut fresh) = (resume(1), resume(9), Cursor::new(10, None, true, false));
        let unstarted = Topic::new(4, Duration::ZERO, Arc::default(), Access::open());
        unstarted.end(frame(2));
        topic.end(frame(2));
        let waker = Waker::noop();
        let last = |topic: &Topic, cursor: &mut Cursor| {
            let slot = topic.take_slot(cursor);
            loop {
                let read = topic.read(cursor, slot, waker);
                if matches!(read, Read::Last(_)) {
                    return text(&read).starts_with("id: ");
                }
            }
        };
        assert!(last(&topic, &mut reading));
        assert!(last(&topic, &mut fresh), "after the snapshot and what follows it");
        assert!(!last(&topic, &mut ahead), "its position is not resolved");
        assert!(!last(&unstarted, &mut Cursor::new(10, None, true, false)), "it has seen nothing");
    }
    #[test]
    fn an_unauthorized_reader_gets_nothing_from_the_private_period() {
        let topic = Topic::new(8, Duration::ZERO, Arc::default(), Access::open());
        topic.begin("e".into(), 1, 1, Some(state()));
        let mut private = frame(2);
        private.private = true;
        let cursor = |entitled| Cursor::new(10, Some(Ok(Version::new("e", 0))), true, entitled);
        let read =
            |cursor: &mut Cursor| topic.read(cursor, topic.take_slot(&mut Cursor::new(10, None, true, true)), Waker::noop());
        topic.append([frame(1)]);
        let mut anybody = cursor(false);
        assert_eq!(text(&read(&mut anybody)), "id: e-1\nevent: score-updated\ndata: {}\n\n");

        topic.access.adopt(Visibility::Private, Timestamp(1), false);
        topic.append([private, frame(3)]);
        assert!(matches!(read(&mut anybody), Read::Barred));
        assert!(matches!(read(&mut cursor(false)), Read::Barred), "also what was there before");
        assert_eq!(text(&read(&mut cursor(true))).matches("id: ").count(), 3);

        topic.access.adopt(Visibility::Public, Timestamp(2), false);
        topic.append([frame(4)]);
        assert!(matches!(read(&mut anybody), Read::Nothing), "the snapshot is older than what is hidden");
        assert!(topic.take_wanted().snapshot);
        topic.offer_snapshot(4, state());
        for cursor in [&mut anybody, &mut cursor(false)] {
            assert!(text(&read(cursor)).contains("id: e-0"), "a snapshot");
            assert_eq!(text(&read(cursor)), "id: e-4\nevent: score-updated\ndata: {}\n\n");
        }
        topic.access.doubt();
        topic.append([frame(5)]);
        assert!(matches!(read(&mut anybody), Read::Nothing));
    }
}
