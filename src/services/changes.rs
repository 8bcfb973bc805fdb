//! Counts, for each board that is read from memory, the changes that may affect what its readers see.
//!
//! The announcer counts what this instance announced, the stream fan-out counts what the feed announced for the other
//! instances. A cache (`top_cache.rs`) compares the count with the one from before its query: as long as they are equal, no
//! change is known that the cached answer lacks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use crate::domain::version::Version;

/// The changes of one board.
#[derive(Default)]
pub struct Changed {
    count: AtomicU64,
    /// The newest version that was announced. A change made here is announced twice, and counts once.
    newest: Mutex<Option<Version>>,
}

impl Changed {
    /// Grows with every change.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn told(&self, version: &Version) {
        let mut newest = self.newest.lock();
        if newest.as_ref().is_none_or(|newest| (&newest.epoch, newest.seq) < (&version.epoch, version.seq)) {
            *newest = Some(version.clone());
            self.count.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The boards whose changes are being counted, by incarnation. The lock is held for look-ups only.
#[derive(Default)]
pub struct Changes(RwLock<HashMap<i64, Arc<Changed>>>);

impl Changes {
    /// Counts a board's changes from now on, for as long as the returned value is held.
    pub fn of(&self, pk: i64) -> Arc<Changed> {
        let mut boards = self.0.write();
        if !boards.contains_key(&pk) {
            boards.retain(|_, changed| Arc::strong_count(changed) > 1);
        }
        Arc::clone(boards.entry(pk).or_default())
    }

    /// The ranking has reached this version.
    pub fn told(&self, pk: i64, version: &Version) {
        if let Some(changed) = self.0.read().get(&pk) {
            changed.told(version);
        }
    }

    /// Something changed that has no version: a name, or a change that could not be announced.
    pub fn untold(&self, pk: i64) {
        if let Some(changed) = self.0.read().get(&pk) {
            changed.count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Changes of any board may have been missed.
    pub fn lost(&self) {
        self.0.read().values().for_each(|changed| {
            changed.count.fetch_add(1, Ordering::AcqRel);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_counts_once_however_often_it_is_announced() {
        let changes = Changes::default();
        changes.told(1, &Version::new("a", 9));
        let changed = changes.of(1);
        let counts = [("a", 1), ("a", 1), ("a", 3), ("a", 2), ("b", 0), ("a", 4), ("b", 0), ("b", 1)].map(|(epoch, seq)| {
            changes.told(1, &Version::new(epoch, seq));
            changed.count()
        });
        assert_eq!(counts, [1, 1, 2, 2, 3, 3, 3, 4]);
        changes.untold(1);
        changes.lost();
        changes.told(2, &Version::new("a", 5));
        assert_eq!(changed.count(), 6);
    }

    #[test]
    fn boards_without_readers_are_forgotten() {
        let changes = Changes::default();
        let held = changes.of(1);
        (2..1000).for_each(|pk| drop(changes.of(pk)));
        assert!(changes.0.read().len() <= 3);
        changes.untold(1);
        assert_eq!(held.count(), 1);
    }
}
