//! The body of a request over HTTP/2.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use hyper::{
    body::{Body, Frame, SizeHint},
    http::{Request, header},
};

use crate::server::vitals::Vitals;

/// The allowance for each frame beside its bytes, counted together with them.
const FRAME: u64 = 64;

/// See the module's documentation.
pub(super) struct Received {
    stream: RecvStream,
    length: Option<u64>,
    vitals: Arc<Vitals>,
}

impl Received {
    pub fn of(request: Request<RecvStream>, vitals: &Arc<Vitals>) -> Request<Self> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        request.map(|stream| Self { stream, length, vitals: Arc::clone(vitals) })
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.stream.poll_data(context)) {
            Some(Ok(bytes)) => {
                // The reader of the body has a limit of its own.
                let _ = self.stream.flow_control().release_capacity(bytes.len());
                self.length = self.length.map(|length| length.saturating_sub(bytes.len() as u64));
                self.vitals.bodies.fetch_add(bytes.len() as u64 + FRAME, Relaxed);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                self.stream.poll_trailers(context).map(|trailers| trailers.map(|fields| fields.map(Frame::trailers)).transpose())
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
