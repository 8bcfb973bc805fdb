//! A topic: one shared log of encoded frames, read by any number of connections, each with a cursor of its own.
//!
//! A connection holds no queue: what it has not read yet is in the log, once for all. Whoever falls behind the log's oldest frame is moved to a
//! snapshot and goes on from there. A new *generation* begins where continuity breaks (a new epoch, a hole that cannot be filled): then every
//! cursor starts from a snapshot that says `reset`.

use std::{sync::Arc, task::Waker};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    frame::Frame,
    log::{Cursor, Log, Read, Snapshot, State, Wanted},
    wakers::{Slot, Wakers},
};

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
        Arc::new(Self { log: Mutex::new(Log::new(capacity)), wakers: Wakers::default(), hub })
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
        });
    }

    /// The snapshot no longer shows what a new one would, although no event followed it: the next connection gets a new one.
    pub(super) fn forget_snapshot(&self) {
        self.log.lock().snapshot = None;
    }

    /// Puts the state that the frames lead to back where it was forgotten.
    pub(super) fn restore_snapshot(&self, state: State) {
        self.change(|log| {
            if log.snapshot.is_none() {
                log.snapshot = Some(Snapshot::new(log.head() + 1, state));
            }
        });
    }

    /// Offers what the ledger says, to those who have seen nothing while there is no position to stand on.
    pub(super) fn offer_provisional(&self, state: State) {
        self.change(|log| log.provisional = Some(Snapshot::new(0, state)));
    }

    /// Whether there is neither a state nor a provisional one.
    pub(super) fn is_blank(&self) -> bool {
        let log = self.log.lock();
        log.generation == 0 && log.provisional.is_none()
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
