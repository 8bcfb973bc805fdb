//! One connection: cursors into shared logs. It has no task and no queue of its own.

use std::{
    ops::RangeInclusive,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::{
    domain::{
        caller::{Permission, Principal},
        time::{Clock, Timestamp},
    },
    services::credentials::Standing,
};

use super::{
    Drain,
    admission::Admitted,
    cursor::Cursor,
    expiry::{Expiries, Expiry},
    frame::{Closed, Form, Frame, retry_before},
    hub::{Hub, heartbeat},
    log::Read,
    measures::MEASURES,
    shared_view::SharedView,
    ties::{Known, Tie, Ties},
    topic::Topic,
    wakers::Slot,
};

/// Milliseconds until a client reconnects whose connection broke: jittered, so that not all come at once.
const RETRY: RangeInclusive<u16> = 1000..=3000;
/// Milliseconds until it reconnects, to another server, when this one shuts down.
const RETRY_ELSEWHERE: RangeInclusive<u16> = 200..=2000;
/// Milliseconds until it reconnects although that will fail or do harm. Long enough for a page to read the reason and to act on
/// it.
const RETRY_LATE: RangeInclusive<u16> = 15_000..=45_000;

/// One leaderboard's part of a connection.
pub(super) struct Part {
    hub: Arc<Hub>,
    shared_view: Option<Arc<SharedView>>,
    topic: Arc<Topic>,
    cursor: Cursor,
    slot: Slot,
    ended: bool,
    _expiry: Option<Expiry>,
    /// What is known of the credential that it depends on, if that can be ended.
    tie: Option<(Tie, Arc<Known>)>,
}

impl Part {
    /// Reads the shared view's topic, or the leaderboard's events if there is no shared view. Takes over the watcher that was
    /// counted for it.
    pub(super) fn new(hub: Arc<Hub>, shared_view: Option<Arc<SharedView>>, mut cursor: Cursor) -> Self {
        let topic = Arc::clone(shared_view.as_ref().map_or(&hub.events, |shared_view| &shared_view.topic));
        let slot = topic.take_slot(&mut cursor);
        Self { hub, shared_view, topic, cursor, slot, ended: false, _expiry: None, tie: None }
    }

    /// Arranges that the connection is woken when its token expires.
    pub(super) fn expiring(mut self, at: Option<Instant>, expiries: &Arc<Expiries>) -> Self {
        self._expiry = at.map(|at| expiries.add(at, &self.topic, self.slot));
        self
    }

    /// Arranges that the connection is woken when its credential is ended.
    pub(super) fn tied_to(mut self, holder: Option<&Arc<Principal>>, ties: &Arc<Ties>) -> Self {
        self.tie = holder.map(|holder| ties.add(holder, &self.topic, self.slot));
        self
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.topic.give_back(self.slot);
        self.hub.watchers.fetch_sub(1, Ordering::AcqRel);
        self.hub.wake.notify_one();
        if let Some(shared_view) = &self.shared_view {
            shared_view.watchers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The bytes of one `text/event-stream` response. Ends when its leaderboards are deleted, when it may no longer read them, or
/// when the server shuts down. Each block has data: a `retry:` is always part of an event's block.
pub struct EventStream {
    /// Empty if the server is shutting down.
    parts: Vec<Part>,
    /// The first block's `retry:`, in milliseconds, until it has been taken.
    retry: Option<u16>,
    /// The reason to send before the end, after the last event.
    closing: Option<Closed>,
    drain: Arc<Drain>,
    /// The step of the shutdown at which this connection ends.
    drain_step: u8,
    /// When the token expires that grants access to private leaderboards.
    until: Option<Instant>,
    ended: bool,
    form: Form,
    /// The lag of this connection is recorded.
    sampled: bool,
    /// The time of the oldest score in the piece that was handed out last and is not yet known to be written.
    oldest: Option<Timestamp>,
    clock: Clock,
    _admitted: Admitted,
}

/// An event stream on its way from the handler to the component that writes it. It is carried by the response, beside a body
/// that reads the same stream: the first to take it gets it.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<EventStream>>>);

impl Handover {
    pub fn new(stream: EventStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// The stream; `None` after the first call.
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
        let retry = Some(fastrand::u16(RETRY));
        let sampled = parts.iter().any(|part| part.slot.is_sampled());
        let form = Form { ids: false, chunked: false };
        Self {
            parts,
            retry,
            closing: None,
            drain,
            drain_step,
            until,
            ended: false,
            form,
            sampled,
            oldest: None,
            clock,
            _admitted: admitted,
        }
    }

    /// Frames each piece as chunks of an HTTP/1.1 body. Must be chosen before the first piece is taken.
    pub fn chunked(mut self) -> Self {
        self.form.chunked = true;
        self.parts.iter_mut().for_each(|part| part.cursor.form.chunked = true);
        self
    }

    /// Whether the stream has to end although the client does not even read its last block. If not, `waker` is called when that
    /// may change.
    pub fn is_given_up(&mut self, waker: &Waker) -> bool {
        self.parts.iter().for_each(|part| part.topic.wait(part.slot, waker));
        self.drain.is_over()
    }

    /// The last piece has been written to the socket.
    pub fn written(&mut self) {
        if let Some(at) = self.oldest.take() {
            let micros = self.clock.now().micros_since(at).max(0);
            tracing::trace!(%at, micros, "written to a watcher's socket");
            MEASURES.lag.record(micros as f64 / 1e6);
        }
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let stream = &mut *self;
        let bytes = ready!(stream.poll_blocks(context.waker()));
        Poll::Ready(bytes.map(|bytes| match stream.retry.take() {
            Some(millis) => retry_before(millis.into(), &bytes, stream.form),
            None => bytes,
        }))
    }
}

impl EventStream {
    fn poll_blocks(&mut self, waker: &Waker) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(reason) = self.closing {
            return Poll::Ready(Some(self.close(reason)));
        }
        let private = |part: &Part| !part.ended && part.hub.is_private();
        let standing = self.parts.iter().find_map(|part| part.tie.as_ref()).and_then(|(_, known)| known.standing());
        match standing.as_deref() {
            Some(Standing::Ended) => return Poll::Ready(Some(self.close(Closed::Ended))),
            // A page comes back, and is let in as soon as it is known that it may be.
            Some(Standing::Unsure) if self.parts.iter().any(private) => return Poll::Ready(Some(self.say_goodbye(RETRY))),
            Some(Standing::Changed(holder)) if !self.keep_to(holder) => return Poll::Ready(Some(self.close(Closed::Ended))),
            Some(Standing::Unsure | Standing::Changed(_) | Standing::Live) | None => {}
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            if self.parts.iter().any(private) {
                return Poll::Ready(Some(self.close(Closed::TokenExpired)));
            }
            self.lapse();
        }
        if self.parts.is_empty() || self.drain.reached(self.drain_step) {
            return Poll::Ready(Some(self.say_goodbye(RETRY_ELSEWHERE)));
        }
        let Some((index, read)) = self.read_next(waker) else { return Poll::Pending };
        Poll::Ready(Some(match read {
            Read::Nothing => return Poll::Pending,
            Read::Frames(bytes) => {
                if self.sampled {
                    self.oldest = self.parts[index].cursor.oldest.take();
                }
                bytes
            }
            Read::Last(bytes) => {
                if !self.go_on_without(index) {
                    self.closing = Some(Closed::Deleted);
                }
                bytes
            }
            Read::Barred if self.go_on_without(index) => {
                Frame::closed(Closed::Private, Some(&self.parts[index].hub.leaderboard.id)).encoded(self.form)
            }
            Read::Barred => self.close(Closed::Private),
            Read::SeasonOver if self.go_on_without(index) => {
                Frame::closed(Closed::Ended, Some(&self.parts[index].hub.leaderboard.id)).encoded(self.form)
            }
            Read::SeasonOver => self.close(Closed::Ended),
            // Staying connected for the other leaderboards is not worth more than a reconnect of the client for all of them.
            Read::Over => self.say_goodbye(RETRY),
        }))
    }

    /// What is ready of any leaderboard, and the index of its part; `None` if nothing is.
    fn read_next(&mut self, waker: &Waker) -> Option<(usize, Read)> {
        let parts = self.parts.iter_mut().enumerate().filter(|(_, part)| !part.ended);
        let mut reads = parts.map(|(index, part)| (index, part.topic.read(&mut part.cursor, part.slot, waker)));
        reads.find(|(_, read)| !matches!(read, Read::Nothing))
    }

    /// Ends one leaderboard's part; true if others go on.
    fn go_on_without(&mut self, index: usize) -> bool {
        self.parts[index].ended = true;
        self.parts.iter().any(|part| !part.ended)
    }

    /// Takes the rights back that the credential no longer gives; false if a leaderboard is shown by one of them.
    fn keep_to(&mut self, holder: &Principal) -> bool {
        let lost = |part: &&mut Part| {
            !part.ended && part.cursor.entitled && !holder.may_on(Permission::ReadPrivate, part.hub.leaderboard.id.as_str())
        };
        self.parts.iter_mut().filter(lost).fold(true, |goes_on, part| {
            part.cursor.entitled = false;
            goes_on && !part.hub.is_private()
        })
    }

    /// The token has expired, and so far the stream did not need it: from now on it counts as a stream without one.
    fn lapse(&mut self) {
        self.until = None;
        self.parts.iter_mut().for_each(|part| part.cursor.entitled = false);
    }

    /// The last block of a stream that the same request would not restore.
    fn close(&mut self, reason: Closed) -> Bytes {
        self.end(&Frame::closed(reason, None), RETRY_LATE)
    }

    /// The last block of a stream that resumes when its client reconnects: a heartbeat.
    fn say_goodbye(&mut self, retry: RangeInclusive<u16>) -> Bytes {
        let now = self.clock.now();
        let followed = self.parts.iter().find(|part| !part.ended);
        let frame = followed.map_or_else(|| heartbeat(None, None, now, 0), |part| part.hub.heartbeat(now));
        self.end(&frame, retry)
    }

    fn end(&mut self, frame: &Frame, retry: RangeInclusive<u16>) -> Bytes {
        (self.ended, self.retry) = (true, None);
        frame.with_retry(fastrand::u16(retry).into()).encoded(self.form)
    }
}

/// The whole body of a stream that is refused in-band, because a browser gives up permanently on any status but 200: one `busy`
/// event with a long, jittered `retry:`, then the end.
pub fn busy_body(reason: &str) -> Bytes {
    let form = Form { ids: false, chunked: false };
    let event = Frame::event(None, "busy", &serde_json::json!({ "reason": reason }).to_string()).encoded(form);
    retry_before(fastrand::u16(RETRY_LATE).into(), &event, form)
}
