//! One connection: cursors into shared logs. It has no task and no queue of its own.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::domain::position::Version;

use super::{
    Drain,
    admission::Admitted,
    frame::Frame,
    groups::Group,
    hub::Hub,
    log::{Cursor, Read},
    topic::Topic,
    wakers::Slot,
};

/// One leaderboard's share of a connection.
pub(super) struct Part {
    hub: Arc<Hub>,
    group: Option<Arc<Group>>,
    topic: Arc<Topic>,
    cursor: Cursor,
    slot: Slot,
    with_ids: bool,
    ended: bool,
}

impl Part {
    /// Reads the group's topic, or the leaderboard's events where there is no group. Takes over the watcher that was counted for it.
    pub(super) fn new(
        hub: Arc<Hub>,
        group: Option<Arc<Group>>,
        limit: usize,
        resume: Option<Result<Version, ()>>,
        with_ids: bool,
    ) -> Self {
        let topic = Arc::clone(group.as_ref().map_or(&hub.events, |group| &group.topic));
        let mut cursor = Cursor::new(limit, resume);
        let slot = topic.take_slot(&mut cursor);
        Self { hub, group, topic, cursor, slot, with_ids, ended: false }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.topic.give_back(self.slot);
        self.hub.watchers.fetch_sub(1, Ordering::AcqRel);
        self.hub.wake.notify_one();
        if let Some(group) = &self.group {
            group.watchers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The bytes of one `text/event-stream` response. Ends when its leaderboards are deleted or the server shuts down.
pub struct EventStream {
    parts: Vec<Part>,
    preamble: Option<Bytes>,
    drain: Arc<Drain>,
    /// The step of the shutdown at which this connection ends.
    drain_step: u8,
    /// When the token that opened it ends. Looked at whenever there is something to send, at the latest with the next heartbeat.
    until: Option<Instant>,
    ended: bool,
    _admitted: Admitted,
}

impl EventStream {
    pub(super) fn new(parts: Vec<Part>, drain: Arc<Drain>, drain_step: u8, until: Option<Instant>, admitted: Admitted) -> Self {
        let preamble = Some(Frame::retry(fastrand::u64(1000..=3000)).with_id());
        Self { parts, preamble, drain, drain_step, until, ended: false, _admitted: admitted }
    }

    /// Ends before it has shown anything, so that the client comes back and is asked for a token.
    pub(super) fn barred(mut self) -> Self {
        self.ended = true;
        self
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let stream = &mut *self;
        if let Some(preamble) = stream.preamble.take() {
            return Poll::Ready(Some(preamble));
        }
        if stream.ended {
            return Poll::Ready(None);
        }
        if stream.until.is_some_and(|until| Instant::now() >= until) {
            stream.ended = true;
            return Poll::Ready(None);
        }
        if stream.drain.reached(stream.drain_step) {
            stream.ended = true;
            return Poll::Ready(Some(Frame::retry(fastrand::u64(200..=2000)).with_id()));
        }
        for part in stream.parts.iter_mut().filter(|part| !part.ended) {
            match part.topic.read(&mut part.cursor, part.with_ids, part.slot, context.waker()) {
                Read::Nothing => {}
                Read::Frames(bytes) => return Poll::Ready(Some(bytes)),
                Read::Last(bytes) => {
                    part.ended = true;
                    return Poll::Ready(Some(bytes));
                }
                // The other leaderboards' positions are not worth more than the client's coming back for all of them.
                Read::Over => {
                    stream.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        if stream.parts.iter().all(|part| part.ended) {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// The whole body of a stream that is refused in-band, because a browser gives up for ever on any status but 200: a long, jittered
/// `retry:`, one `busy` event, the end.
pub fn busy_body(reason: &str) -> Bytes {
    let retry = Frame::retry(fastrand::u64(15_000..=45_000)).with_id();
    let event = Frame::event(None, "busy", &serde_json::json!({ "reason": reason }).to_string()).with_id();
    [retry, event].concat().into()
}
