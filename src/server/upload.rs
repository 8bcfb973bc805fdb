//! The body of a request that is being received: it has to make progress.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::vitals::Vitals;
use crate::controllers::body::Stalled;

/// The longest pause within an incomplete body.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a body may take in all, from when it first had to be waited for, so that a byte now and then does not keep a
/// request open. Less than the time-out of requests, which blames the server.
const IN_ALL: Duration = Duration::from_secs(25);

/// See the module's documentation.
pub(super) struct Upload<B> {
    body: B,
    /// Runs while nothing arrives. Most bodies arrive with their head, and need none.
    waiting: Option<Pin<Box<Sleep>>>,
    /// When it has to be complete.
    until: Option<Instant>,
    /// It was read to its end.
    ended: bool,
    vitals: Arc<Vitals>,
}

impl<B> Upload<B> {
    pub fn new(body: B, vitals: &Arc<Vitals>) -> Self {
        Self { body, waiting: None, until: None, ended: false, vitals: Arc::clone(vitals) }
    }
}

impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        if !self.ended {
            self.vitals.unread.store(true, Relaxed);
        }
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let upload = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut upload.body).poll_frame(context) {
            upload.waiting = None;
            upload.ended = frame.is_none() || upload.body.is_end_stream();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let waiting = upload.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            let until = *upload.until.get_or_insert(now + IN_ALL);
            Box::pin(sleep_until(until.min(now + PATIENCE)))
        });
        waiting.as_mut().poll(context).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
