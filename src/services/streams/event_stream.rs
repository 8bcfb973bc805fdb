//! One connection: cursors into shared logs. It has no task and no queue of its own.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::domain::{
    position::Version,
    time::{Clock, Timestamp},
};

use super::{
    Drain,
    admission::Admitted,
    frame::{Form, Frame},
    group::Group,
    hub::Hub,
    log::{Cursor, Read},
    measures::MEASURES,
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
        let mut cursor = Cursor::new(limit, resume, with_ids);
        let slot = topic.take_slot(&mut cursor);
        Self { hub, group, topic, cursor, slot, ended: false }
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
    /// The first line's `retry:`, in milliseconds, until it has been taken.
    preamble: Option<u16>,
    drain: Arc<Drain>,
    /// The step of the shutdown at which this connection ends.
    drain_step: u8,
    /// When the token that opened it ends. Looked at whenever there is something to send, at the latest with the next heartbeat.
    until: Option<Instant>,
    ended: bool,
    form: Form,
    /// The lag of this connection is recorded.
    sampled: bool,
    /// The time of the oldest score in what was handed out last and is not known to be written.
    oldest: Option<Timestamp>,
    clock: Clock,
    _admitted: Admitted,
}

/// An event stream on its way from the handler to whoever writes it. Rides on the response, beside a body that reads the same stream: whoever takes it
/// first has it.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<EventStream>>>);

impl Handover {
    pub fn new(stream: EventStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// The stream, once.
    pub fn take(&self) -> Option<EventStream> {
        self.0.lock().take()
    }
}

impl EventStream {
    pub(super) fn new(
        parts: Vec<Part>,
        drain: Arc<Drain>,
        drain_step: u8,
        until: Option<Instant>,
        clock: Clock,
        admitted: Admitted,
    ) -> Self {
        let preamble = Some(fastrand::u16(1000..=3000));
        let sampled = parts.iter().any(|part| part.slot.is_sampled());
        let form = Form { ids: false, chunked: false };
        Self { parts, preamble, drain, drain_step, until, ended: false, form, sampled, oldest: None, clock, _admitted: admitted }
    }

    /// Each piece as chunks of an HTTP/1.1 body. To be chosen before the first is taken.
    pub fn chunked(mut self) -> Self {
        self.form.chunked = true;
        self.parts.iter_mut().for_each(|part| part.cursor.form.chunked = true);
        self
    }

    /// Whether it has to end although the client does not even read the farewell. Where not, `waker` is called when that may change.
    pub fn is_given_up(&mut self, waker: &Waker) -> bool {
        self.parts.iter().for_each(|part| part.topic.wait(part.slot, waker));
        self.drain.is_over()
    }

    /// What was taken has been written to the socket.
    pub fn written(&mut self) {
        if let Some(at) = self.oldest.take() {
            let micros = self.clock.now().micros_since(at).max(0);
            tracing::trace!(%at, micros, "written to a watcher's socket");
            MEASURES.lag.record(micros as f64 / 1e6);
        }
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
        let Some(millis) = stream.preamble.take() else { return stream.poll_events(context) };
        let retry = Frame::retry(millis.into()).encoded(stream.form);
        // In one piece with what is there already, which mostly is the snapshot: one write less for each of those who come back at once.
        Poll::Ready(Some(match stream.poll_events(context) {
            Poll::Ready(Some(bytes)) => [retry, bytes].concat().into(),
            Poll::Ready(None) | Poll::Pending => retry,
        }))
    }
}

impl EventStream {
    fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            self.ended = true;
            return Poll::Ready(None);
        }
        if self.drain.reached(self.drain_step) {
            self.ended = true;
            return Poll::Ready(Some(Frame::retry(fastrand::u64(200..=2000)).encoded(self.form)));
        }
        for part in self.parts.iter_mut().filter(|part| !part.ended) {
            match part.topic.read(&mut part.cursor, part.slot, context.waker()) {
                Read::Nothing => {}
                Read::Frames(bytes) => {
                    if self.sampled {
                        self.oldest = part.cursor.oldest.take();
                    }
                    return Poll::Ready(Some(bytes));
                }
                Read::Last(bytes) => {
                    part.ended = true;
                    return Poll::Ready(Some(bytes));
                }
                // The other leaderboards' positions are not worth more than the client's coming back for all of them.
                Read::Over => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        if self.parts.iter().all(|part| part.ended) {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// The whole body of a stream that is refused in-band, because a browser gives up for ever on any status but 200: a long, jittered
/// `retry:`, one `busy` event, the end.
pub fn busy_body(reason: &str) -> Bytes {
    let retry = Frame::retry(fastrand::u64(15_000..=45_000));
    let event = Frame::event(None, "busy", &serde_json::json!({ "reason": reason }).to_string());
    let form = Form { ids: false, chunked: false };
    [retry.encoded(form), event.encoded(form)].concat().into()
}
