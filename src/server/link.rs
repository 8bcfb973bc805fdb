//! The bytes of a connection as hyper and h2 read them: first those that were read to tell the protocol, then the socket's.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How a client begins that speaks HTTP/2, be it agreed upon by TLS or not.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// See the module's documentation.
pub(super) struct Link<IO> {
    pub io: IO,
    /// Read from the socket, but not by hyper.
    ahead: Bytes,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    /// Reads as much as it takes to tell the protocol; true where it is HTTP/2.
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
        Ok((Self { io, ahead }, is_h2))
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

impl<IO: AsyncWrite + Unpin> AsyncWrite for Link<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
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
