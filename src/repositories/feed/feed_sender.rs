//! The one bounded channel from a feed to its receiver; both implementations of [`Feed`](super::Feed) deliver through it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::FeedMessage;

/// The most events one message holds.
pub(in crate::repositories) const EVENTS_PER_MESSAGE: usize = 128;

/// Messages between the feed and its receiver. With [`EVENTS_PER_MESSAGE`] this bounds the memory held for a stalled receiver
/// to some tens of megabytes. When it is full, messages are dropped, and one `Lost` replaces them as soon as there is room.
const CAPACITY: usize = 1024;

/// Delivers without ever waiting, in the order of the calls.
pub(in crate::repositories) struct FeedSender {
    sender: mpsc::Sender<FeedMessage>,
    /// Holds the receiver until it is taken. Locked only to take it.
    receiver: Mutex<Option<mpsc::Receiver<FeedMessage>>>,
    /// A `Lost` waits for room. Until it is sent, everything else is dropped: the `Lost` covers it.
    losing: Arc<AtomicBool>,
}

impl FeedSender {
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        Self { sender, receiver: Mutex::new(Some(receiver)), losing: Arc::default() }
    }

    /// The receiver; `None` after the first call.
    pub fn take(&self) -> Option<mpsc::Receiver<FeedMessage>> {
        self.receiver.lock().take()
    }

    /// Passes a message on, or notes that it was lost. Must be called from within a tokio runtime.
    pub fn deliver(&self, message: FeedMessage) {
        if self.losing.load(Ordering::Acquire) {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.sender.try_send(message)
            && !self.losing.swap(true, Ordering::AcqRel)
        {
            tokio::spawn(announce_loss(self.sender.clone(), self.losing.clone()));
        }
    }
}

/// Waits for room and reports that messages were lost. Also ends when the receiver is dropped.
async fn announce_loss(sender: mpsc::Sender<FeedMessage>, losing: Arc<AtomicBool>) {
    if let Ok(permit) = sender.reserve().await {
        // In this order: a dropped message must be followed by a `Lost`, never preceded by the last one.
        losing.store(false, Ordering::Release);
        permit.send(FeedMessage::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_channel_drops_and_reports_it_once_there_is_room() {
        let feed_sender = FeedSender::with_capacity(2);
        let mut messages = feed_sender.take().expect("taken for the first time");
        assert!(feed_sender.take().is_none());
        for pk in 0..5 {
            feed_sender.deliver(FeedMessage::Renamed { pk });
        }
        for expected in 0..2 {
            assert!(matches!(messages.recv().await, Some(FeedMessage::Renamed { pk }) if pk == expected));
        }
        assert!(matches!(messages.recv().await, Some(FeedMessage::Lost)));
        feed_sender.deliver(FeedMessage::Renamed { pk: 7 });
        assert!(matches!(messages.recv().await, Some(FeedMessage::Renamed { pk: 7 })));
    }
}
