//! The connections that wait for a topic, woken all at once or a few at a time.
//!
//! Sharded, so that ten thousand connections that register on several threads do not queue behind one lock while they are being
//! woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::measures::SAMPLE;

const SHARDS: usize = 8;
/// The least number of connections woken at once: about what is written in half a millisecond.
const SLICE: usize = 32;
/// The pause between two slices. The runtime's timer has no finer resolution.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Shard {
    /// One slot per connection; `None` while it is not waiting.
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Slots for wakers. Grows with the connections and does not shrink.
#[derive(Default)]
pub(super) struct Wakers {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicUsize,
    /// Rounds requested since the current one began, itself included. 0: no round is in progress.
    rounds: AtomicU64,
}

/// A connection's slot among the wakers. Must be given back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    shard: usize,
    index: usize,
}

impl Slot {
    /// Whether this connection represents its neighbours in measurements.
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

    /// Registers the waker for the next time. The caller holds the lock of what it waits for, so that no change is missed in
    /// between.
    pub(super) fn wait(&self, slot: Slot, waker: &Waker) {
        let place = &mut self.shards[slot.shard].lock().slots[slot.index];
        if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }

    /// Wakes the connection that waits in this slot.
    pub(super) fn wake(&self, slot: Slot) {
        let waiting = self.shards[slot.shard].lock().slots[slot.index].take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Wakes all waiting connections.
    pub(super) fn wake_all(&self) {
        let mut round = Round::default();
        while self.wake_next(&mut round, usize::MAX) {}
    }

    /// Wakes all waiting connections, evenly over this time: ten thousand writes at once would delay everything else by a tenth
    /// of a second. A small number is woken at once. While a round is in progress, the next one begins after it, and there is
    /// only one next round, however often it is requested.
    pub(super) fn wake_over(self: &Arc<Self>, time: Duration) {
        if time < PAUSE || self.places() <= SLICE {
            return self.wake_all();
        }
        if self.rounds.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let wakers = Arc::clone(self);
        tokio::spawn(async move {
            let under_way = UnderWay(&wakers.rounds);
            loop {
                let asked = under_way.0.load(Ordering::Acquire);
                wakers.go_round(time).await;
                if under_way.0.compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    break;
                }
            }
        });
    }

    async fn go_round(&self, time: Duration) {
        let (begun, places, mut round) = (Instant::now(), self.places(), Round::default());
        // Not much more than its share even after a delay: that would be the burst that is to be avoided.
        let most = (2 * places / time.as_millis() as usize).max(SLICE);
        let due = || (places as f64 * begun.elapsed().as_secs_f64() / time.as_secs_f64()) as usize;
        loop {
            let slice = due().saturating_sub(round.passed).clamp(SLICE, most);
            if !self.wake_next(&mut round, slice) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The number of slots, whether or not a connection is there and waits.
    fn places(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().slots.len()).sum()
    }

    /// Wakes the connections that wait in the next slots, at most `most`; false if the round has ended.
    fn wake_next(&self, round: &mut Round, most: usize) -> bool {
        let Some(shard) = self.shards.get(round.shard) else { return false };
        let mut shard = shard.lock();
        let (from, len) = (round.index.min(shard.slots.len()), shard.slots.len());
        let until = from.saturating_add(most).min(len);
        let waiting: Vec<Waker> = shard.slots[from..until].iter_mut().filter_map(Option::take).collect();
        drop(shard);
        round.passed += until - from;
        (round.shard, round.index) = if until == len { (round.shard + 1, 0) } else { (round.shard, until) };
        waiting.into_iter().for_each(Waker::wake);
        true
    }
}

/// The rounds of a task that wakes. If it panics, the next caller starts a new one instead of waiting for it for ever.
struct UnderWay<'a>(&'a AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(0, Ordering::Release);
        }
    }
}

/// The progress of a round through all slots.
#[derive(Default)]
struct Round {
    shard: usize,
    index: usize,
    passed: usize,
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Wakes {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        async fn reach(&self, count: usize) {
            let deadline = Instant::now() + Duration::from_secs(10);
            while self.count() < count {
                assert!(Instant::now() < deadline, "{} of {count}", self.count());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    #[tokio::test]
    async fn many_are_woken_over_a_period_and_each_once_per_round() {
        let (wakers, wakes) = (Arc::new(Wakers::default()), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let slots: Vec<_> = (0..4000).map(|_| wakers.take_slot()).collect();
        let everybody_waits = || slots.iter().for_each(|slot| wakers.wait(*slot, &waker));
        everybody_waits();
        let begun = Instant::now();
        wakers.wake_over(Duration::from_millis(100));
        wakes.reach(1).await;
        assert!(wakes.count() <= 400, "not in one go: {}", wakes.count());
        wakes.reach(4000).await;
        assert!(begun.elapsed() >= Duration::from_millis(80), "{:?}", begun.elapsed());

        everybody_waits();
        wakers.wake_over(Duration::from_millis(100));
        wakes.reach(6000).await;
        // The woken connections wait again, and something new happens before the round is over: the next round is for them.
        everybody_waits();
        wakers.wake_over(Duration::from_millis(100));
        wakers.wake_over(Duration::from_millis(100));
        let deadline = Instant::now() + Duration::from_secs(10);
        while wakers.rounds.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "the rounds end");
            tokio::time::sleep(PAUSE).await;
        }
        assert!(wakers.shards.iter().all(|shard| shard.lock().slots.iter().all(Option::is_none)), "nobody was left out");
    }

    #[tokio::test]
    async fn a_round_that_panics_is_not_waited_for() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker that cannot wake");
            }
        }
        let (wakers, wakes) = (Arc::new(Wakers::default()), Arc::new(Wakes::default()));
        let slots: Vec<_> = (0..1000).map(|_| wakers.take_slot()).collect();
        slots.iter().for_each(|slot| wakers.wait(*slot, &Waker::from(Arc::new(Panics))));
        wakers.wake_over(Duration::from_millis(10));
        let deadline = Instant::now() + Duration::from_secs(10);
        while wakers.rounds.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "it is over");
            tokio::time::sleep(PAUSE).await;
        }
        let waker = Waker::from(Arc::clone(&wakes));
        slots.iter().for_each(|slot| wakers.wait(*slot, &waker));
        wakers.wake_over(Duration::from_millis(10));
        wakes.reach(1000).await;
    }

    #[test]
    fn few_are_woken_at_once() {
        let (wakers, wakes) = (Arc::new(Wakers::default()), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        (0..SLICE).for_each(|_| wakers.wait(wakers.take_slot(), &waker));
        wakers.wake_over(Duration::from_millis(100));
        assert_eq!(wakes.count(), SLICE);
    }
}
