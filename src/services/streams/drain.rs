//! The end of all streams when the server shuts down, spread over a few seconds.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

/// When the server shuts down, streams end in this many steps, so that clients do not all reconnect at the same moment.
pub(super) const DRAIN_STEPS: u8 = 20;
pub(super) const DRAIN_STEP: Duration = Duration::from_millis(150);

/// Counts up while the server shuts down; a connection ends when the count reaches the connection's own step.
#[derive(Default)]
pub(super) struct Drain(AtomicU8);

impl Drain {
    pub(super) fn set(&self, step: u8) {
        self.0.store(step, Ordering::Release);
    }

    pub(super) fn reached(&self, step: u8) -> bool {
        self.0.load(Ordering::Acquire) > step
    }

    /// The server is shutting down: a new connection is sent elsewhere at once.
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Every step was reached, and clients that read have had time to see it.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) > DRAIN_STEPS + 1
    }
}
