//! An answer that is being sent: it is charged until its last byte is with the kernel, not only until hyper or h2 has taken it.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};

use super::{budget::Expense, vitals::Vitals};

/// An open request: from its head until its answer is sent. What it occupies is given back when this is dropped.
pub(super) struct Open {
    vitals: Arc<Vitals>,
    pub expense: Option<Expense>,
}

impl Open {
    pub fn new(vitals: Arc<Vitals>) -> Self {
        vitals.begun.fetch_add(1, Relaxed);
        vitals.open.fetch_add(1, Relaxed);
        Self { vitals, expense: None }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.vitals.open.fetch_sub(1, Relaxed);
    }
}

/// Bytes of an answer; the last of them hold its charge.
pub(super) struct Piece {
    bytes: Bytes,
    open: Option<Open>,
}

impl Piece {
    /// The end of an answer without more bytes.
    pub fn nothing() -> Self {
        Self { bytes: Bytes::new(), open: None }
    }

    /// Splits this many bytes off the front.
    pub fn split_to(&mut self, length: usize) -> Self {
        let open = if length == self.bytes.len() { self.open.take() } else { None };
        Self { bytes: self.bytes.split_to(length), open }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The body of an answer.
pub(super) struct Outgoing {
    body: Body,
    open: Option<Open>,
}

impl Outgoing {
    pub fn new(body: Body, open: Open) -> Self {
        Self { body, open: Some(open) }
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let last = self.body.is_end_stream();
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| frame.map_data(|bytes| Piece { bytes, open: if last { self.open.take() } else { None } }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
