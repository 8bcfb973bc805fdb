//! A socket that counts its bytes. It is below TLS, so that it counts what the network transfers.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::vitals::Vitals;

/// The transport of a connection.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Stops counting: an event stream that has left hyper does not need it, and is one of ten thousands.
    fn uncount(&mut self);
}

/// See the module's documentation.
pub(super) struct Counted {
    io: TcpStream,
    vitals: Option<Arc<Vitals>>,
}

impl Counted {
    pub fn new(io: TcpStream, vitals: Arc<Vitals>) -> Self {
        Self { io, vitals: Some(vitals) }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        let Some(vitals) = &self.vitals else { return };
        vitals.unsent.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(written)) = written {
            // These counts have no other writer.
            vitals.written.store(vitals.written.load(Relaxed) + *written as u64, Relaxed);
        }
    }
}

impl Socket for Counted {
    fn uncount(&mut self) {
        self.vitals = None;
    }
}

impl Socket for TlsStream<Counted> {
    fn uncount(&mut self) {
        self.get_mut().0.uncount();
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(vitals) = &self.vitals {
            let read = buffer.filled().len() - before;
            vitals.read.store(vitals.read.load(Relaxed) + read as u64, Relaxed);
        }
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.note(&written);
        written
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
