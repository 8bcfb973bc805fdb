//! When the tokens of open streams expire. One tick for all of them: a timer for each would cost every stream more than its
//! cursor does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{topic::Topic, wakers::Slot};

/// How late a stream may notice that its token has expired.
const TICK: Duration = Duration::from_secs(1);

/// The coming expiries, the next one first. One entry for each leaderboard of an open stream with a token, removed with the
/// stream. The lock is held to add, to remove, and to split off what is due.
#[derive(Default)]
pub(super) struct Expiries {
    ends: Mutex<BTreeMap<Key, (Arc<Topic>, Slot)>>,
    added: AtomicU64,
}

/// The moment, and a number that distinguishes entries of the same moment.
type Key = (Instant, u64);

/// A stream's entry among the expiries; removed when dropped.
pub(super) struct Expiry {
    of: Arc<Expiries>,
    key: Key,
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.of.ends.lock().remove(&self.key);
    }
}

impl Expiries {
    /// Wakes the connection in this slot of the topic once the moment has come.
    pub(super) fn add(self: &Arc<Self>, at: Instant, topic: &Arc<Topic>, slot: Slot) -> Expiry {
        let key = (at, self.added.fetch_add(1, Ordering::Relaxed));
        self.ends.lock().insert(key, (Arc::clone(topic), slot));
        Expiry { of: Arc::clone(self), key }
    }

    /// Wakes streams whose tokens have expired, for as long as it is polled.
    pub(super) async fn watch(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (topic, slot) in self.take_due(Instant::now()) {
                topic.wake(slot);
            }
        }
    }

    fn take_due(&self, now: Instant) -> Vec<(Arc<Topic>, Slot)> {
        let mut ends = self.ends.lock();
        let later = ends.split_off(&(now, u64::MAX));
        std::mem::replace(&mut *ends, later).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{access::Access, cursor::Cursor},
        *,
    };

    #[test]
    fn an_expiry_is_taken_once_and_a_dropped_one_is_removed() {
        let topic = Topic::new(4, Duration::ZERO, Arc::default(), Access::open());
        let slot = topic.take_slot(&mut Cursor::new(10, None, true, true));
        let (expiries, now) = (Arc::<Expiries>::default(), Instant::now());
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let held = [1, 1, 2, 9].map(|after| expiries.add(seconds(after), &topic, slot));
        assert!(expiries.take_due(now).is_empty());
        assert_eq!(expiries.take_due(seconds(2)).len(), 3);
        assert!(expiries.take_due(seconds(2)).is_empty());
        drop(held);
        assert!(expiries.ends.lock().is_empty());
    }
}
