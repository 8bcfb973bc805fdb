//! An event stream over HTTP/1, written straight to its socket once hyper has read the request.
//!
//! hyper keeps at least 16 KiB of buffers and the state of a dialogue for each connection, which a stream that only writes does
//! not need: this server is made for tens of thousands of them. What remains is the socket, the cursors, and one write for all
//! that is ready. Over HTTP/2 streams share a connection with other requests, and are answers like others.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use hyper::{Version, http::response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_stream::Stream;

use crate::services::streams::EventStream;

use super::{head, places::Place};

/// What a client sends while it watches is discarded, this many bytes at a time.
const SCRATCH: usize = 256;
/// The most bytes discarded in all, enough for a few requests that were sent ahead. A client that sends more is not a watcher.
const MOST_THROWN_AWAY: u16 = 8 * 1024;

/// A response that was handed over: its head, and the events that are its body.
pub(super) struct Handed {
    head: response::Parts,
    events: EventStream,
    chunked: bool,
}

impl Handed {
    /// `version` is the request's: HTTP/1.0 has no chunks, so the body ends with the connection.
    pub fn new(head: response::Parts, events: EventStream, version: Version) -> Self {
        let chunked = version >= Version::HTTP_11;
        Self { head, events: if chunked { events.chunked() } else { events }, chunked }
    }

    /// Writes it to its end, or until the client has left.
    pub fn deliver<IO: AsyncRead + AsyncWrite + Unpin>(self, io: IO, place: Place) -> Delivery<IO> {
        let (version, framing) = match self.chunked {
            true => (Version::HTTP_11, Some(("transfer-encoding", "chunked"))),
            false => (Version::HTTP_10, None),
        };
        let unwritten = head::write(&self.head, version, framing);
        Delivery {
            io,
            unwritten,
            events: self.events,
            chunked: self.chunked,
            stage: Stage::Open,
            blocked: false,
            thrown_away: 0,
            _place: place,
        }
    }
}

/// See [`Handed::deliver`]. A future written by hand and spawned as it is: this is what each open stream costs.
pub(super) struct Delivery<IO> {
    io: IO,
    events: EventStream,
    /// Taken from the events and not yet with the kernel.
    unwritten: Bytes,
    chunked: bool,
    stage: Stage,
    /// It waits for the client to read rather than for an event.
    blocked: bool,
    /// Bytes discarded so far.
    thrown_away: u16,
    _place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The unwritten bytes are the last ones.
    Ending,
    Closing,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Delivery<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.poll_delivery(context) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a stream ended early");
                Poll::Ready(())
            }
            // A client that does not read must not delay the server's shutdown.
            Poll::Pending if self.blocked && self.events.is_given_up(context.waker()) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Delivery<IO> {
    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self;
        if this.client_left(context)? {
            return Poll::Ready(Ok(()));
        }
        loop {
            this.blocked = true;
            while !this.unwritten.is_empty() {
                let written = ready!(Pin::new(&mut this.io).poll_write(context, &this.unwritten))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                this.unwritten.advance(written);
            }
            if this.stage == Stage::Closing {
                return Pin::new(&mut this.io).poll_shutdown(context);
            }
            // Plain sockets have nothing to flush; TLS may hold a record back.
            ready!(Pin::new(&mut this.io).poll_flush(context))?;
            this.events.written();
            if this.stage == Stage::Ending {
                this.stage = Stage::Closing;
                continue;
            }
            this.blocked = false;
            match ready!(Pin::new(&mut this.events).poll_next(context)) {
                Some(bytes) => this.unwritten = bytes,
                None => {
                    this.unwritten = Bytes::from_static(if this.chunked { b"0\r\n\r\n" } else { b"" });
                    this.stage = Stage::Ending;
                }
            }
        }
    }

    /// Whether the client has closed its side, or goes on sending. Called on every wake-up, and registers the task for the next
    /// such event.
    fn client_left(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let mut scratch = [MaybeUninit::uninit(); SCRATCH];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => result?,
            }
            self.thrown_away += buffer.filled().len() as u16;
            if buffer.filled().is_empty() || self.thrown_away > MOST_THROWN_AWAY {
                return Ok(true);
            }
        }
    }
}
