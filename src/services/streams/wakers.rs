//! The connections that wait for a topic, woken together.
//!
//! Sharded, so that ten thousand connections registering on several threads do not queue up behind one lock while they are being
//! woken.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

use parking_lot::Mutex;

use super::measures::SAMPLE;

const SHARDS: usize = 8;

#[derive(Default)]
struct Shard {
    /// One slot a connection; `None` while it is not waiting.
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Slots for wakers. Grows with the connections and keeps its room.
#[derive(Default)]
pub(super) struct Wakers {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicUsize,
}

/// A connection's place among the wakers. Must be given back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    shard: usize,
    index: usize,
}

impl Slot {
    /// Whether this connection stands for its neighbours when something is measured.
    pub(super) fn is_sampled(self) -> bool {
        (self.index * SHARDS + self.shard).is_multiple_of(SAMPLE)
    }
}

impl Wakers {
    pub(super) fn take_slot(&self) -> Slot {
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut slots = self.shards[shard].lock();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(None);
            slots.slots.len() - 1
        });
        Slot { shard, index }
    }

    pub(super) fn give_back(&self, slot: Slot) {
        let mut shard = self.shards[slot.shard].lock();
        shard.slots[slot.index] = None;
        shard.free.push(slot.index);
    }

    /// Registers who is to be woken next time. The caller holds the lock of what it waits for, so that nothing slips in between.
    pub(super) fn wait(&self, slot: Slot, waker: &Waker) {
        let place = &mut self.shards[slot.shard].lock().slots[slot.index];
        if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }

    /// Wakes everyone who waits.
    pub(super) fn wake_all(&self) {
        for shard in &self.shards {
            let waiting: Vec<Waker> = shard.lock().slots.iter_mut().filter_map(Option::take).collect();
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}
