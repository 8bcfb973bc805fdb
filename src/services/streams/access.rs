//! Who may read a leaderboard at this moment: one answer, shared by its hub and all its topics, so that nothing is sent on the
//! basis of an older one.
//!
//! It is written before the event that announces it reaches any log, and read under the log's lock: a reader that finds the
//! event in a log finds this answer as well.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::domain::{
    leaderboard::{Leaderboard, Visibility},
    time::Timestamp,
};

/// Everybody may read.
const PUBLIC: u8 = 0;
/// Only connections whose token grants it may read.
const PRIVATE: u8 = 1;
/// It was public, and may have been made private in changes that this instance has missed.
const DOUBTFUL: u8 = 2;

/// What a connection without a right of its own is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToAnybody {
    Everything,
    /// Nothing, until it is known who may read.
    Nothing,
    /// The end of its stream.
    Farewell,
}

/// See the module's documentation.
pub(super) struct Access {
    state: AtomicU8,
    /// When the definition that decided was written. Locked for the moment of a decision.
    as_of: Mutex<Timestamp>,
}

impl Access {
    pub(super) fn of(leaderboard: &Leaderboard) -> Self {
        let state = state_of(leaderboard.settings.visibility);
        Self { state: AtomicU8::new(state), as_of: Mutex::new(leaderboard.updated_at) }
    }

    /// What connections are given that were admitted without a check of their rights.
    pub(super) fn to_anybody(&self) -> ToAnybody {
        match self.state.load(Ordering::Acquire) {
            PUBLIC => ToAnybody::Everything,
            PRIVATE => ToAnybody::Farewell,
            _ => ToAnybody::Nothing,
        }
    }

    /// Only connections whose rights were checked may read.
    pub(super) fn is_private(&self) -> bool {
        self.state.load(Ordering::Acquire) == PRIVATE
    }

    /// Applies what a definition says, unless it is older than the one that decided last. The very same definition does not
    /// make a private leaderboard public, because privacy may have been announced before the definition itself; it ends a doubt
    /// if it is `confirmed`: the ledger has just reported it. True if waiting connections have to be woken.
    pub(super) fn adopt(&self, visibility: Visibility, updated_at: Timestamp, confirmed: bool) -> bool {
        let (new, mut as_of) = (state_of(visibility), self.as_of.lock());
        let stands = match self.state.load(Ordering::Acquire) {
            PRIVATE => new == PUBLIC,
            DOUBTFUL => new == PUBLIC && !confirmed,
            _ => false,
        };
        if updated_at < *as_of || (updated_at == *as_of && stands) {
            return false;
        }
        *as_of = updated_at;
        self.state.swap(new, Ordering::AcqRel) != new
    }

    /// The definition may or may not still be in force.
    pub(super) fn doubt(&self) {
        let _undecided = self.as_of.lock();
        self.state.compare_exchange(PUBLIC, DOUBTFUL, Ordering::AcqRel, Ordering::Acquire).ok();
    }
}

fn state_of(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Public => PUBLIC,
        Visibility::Private => PRIVATE,
    }
}

#[cfg(test)]
impl Access {
    /// The access of a public leaderboard.
    pub(super) fn open() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { state: AtomicU8::new(PUBLIC), as_of: Mutex::new(Timestamp(0)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_definition_decides_nothing() {
        let access = Access::open();
        assert!(access.adopt(Visibility::Private, Timestamp(7), false));
        assert!(!access.adopt(Visibility::Public, Timestamp(6), true));
        assert!(!access.adopt(Visibility::Public, Timestamp(7), true), "what was heard since stands");
        assert_eq!(access.to_anybody(), ToAnybody::Farewell);
        access.doubt();
        assert!(access.is_private(), "what is known is not doubted");
        assert!(access.adopt(Visibility::Public, Timestamp(8), false));
        access.doubt();
        assert_eq!(access.to_anybody(), ToAnybody::Nothing);
        assert!(!access.adopt(Visibility::Public, Timestamp(8), false), "it is this one that is in doubt");
        assert!(access.adopt(Visibility::Public, Timestamp(8), true));
        assert_eq!(access.to_anybody(), ToAnybody::Everything);
    }
}
