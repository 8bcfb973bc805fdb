//! The bytes of a connection as hyper and h2 see them. The bytes read to detect the protocol come first, then the socket's; if
//! hyper refuses a request by itself, a problem document is written instead.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::http::problem::Problem;

use super::refusal;

/// The first bytes of a client that speaks HTTP/2, whether or not TLS negotiated it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// See the module's documentation.
pub(super) struct Link<IO> {
    pub io: IO,
    /// Read from the socket, but not yet by hyper.
    ahead: Bytes,
    /// The rest of a refusal that is sent instead of hyper's.
    refusal: Option<Bytes>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    /// Reads enough to detect the protocol; true for HTTP/2.
    pub async fn identify(mut io: IO) -> io::Result<(Self, bool)> {
        let (mut read, mut length) = ([0; PREFACE.len()], 0);
        while length < PREFACE.len() && PREFACE.starts_with(&read[..length]) {
            let more = io.read(&mut read[length..]).await?;
            length += more;
            if more == 0 {
                break;
            }
        }
        let ahead = Bytes::copy_from_slice(&read[..length]);
        let is_h2 = ahead == PREFACE[..];
        Ok((Self { io, ahead, refusal: None }, is_h2))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Link<IO> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> Link<IO> {
    /// Writes a problem document instead of a bare answer of this status and length.
    fn poll_refuse(&mut self, context: &mut Context<'_>, status: StatusCode, length: usize) -> Poll<io::Result<usize>> {
        let refusal = self.refusal.get_or_insert_with(|| refusal::answer(&Problem::of_status(status)));
        while refusal.has_remaining() {
            match ready!(Pin::new(&mut self.io).poll_write(context, refusal))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => refusal.advance(written),
            }
        }
        Poll::Ready(Ok(length))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Link<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match refusal::bare(bytes) {
            Some((0, status)) => self.poll_refuse(context, status, bytes.len()),
            Some((start, _)) => Pin::new(&mut self.io).poll_write(context, &bytes[..start]),
            None => Pin::new(&mut self.io).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [bytes] => self.poll_write(context, bytes),
            slices => Pin::new(&mut self.io).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
