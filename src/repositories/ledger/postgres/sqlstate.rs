//! The SQLSTATE of the server's refusals. diesel distinguishes a few kinds of errors and keeps the text, and a server sends the
//! text in its configured language; so the code is read from the connection itself, on its way to the driver.
//!
//! [`Watching`] takes the place of the TLS connector, with and without TLS beneath it: that is the one place where
//! tokio-postgres lets a stream be wrapped.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::repositories::ledger::failure::SqlState;

/// The first error that a connection received since it was last taken. Later ones in the same transaction are its consequences.
#[derive(Debug, Default)]
pub struct FirstError(Mutex<Option<SqlState>>);

impl FirstError {
    /// Returns the code and resets it.
    pub fn take(&self) -> Option<SqlState> {
        self.0.lock().take()
    }

    fn note(&self, state: SqlState) {
        self.0.lock().get_or_insert(state);
    }
}

/// Connects like the given TLS connector, or without TLS if there is none, and records the errors that pass.
#[derive(Clone)]
pub struct Watching {
    pub tls: Option<MakeRustlsConnect>,
    pub first_error: Arc<FirstError>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl MakeTlsConnect<Socket> for Watching {
    type Stream = Watched;
    type TlsConnect = WatchingHost;
    type Error = BoxError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<WatchingHost, BoxError> {
        Ok(WatchingHost { watching: self.clone(), domain: domain.to_owned() })
    }
}

/// [`Watching`] for one host.
pub struct WatchingHost {
    watching: Watching,
    domain: String,
}

impl TlsConnect<Socket> for WatchingHost {
    type Stream = Watched;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Watched, BoxError>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let Self { watching: Watching { tls, first_error }, domain } = self;
        async move {
            let stream: Box<dyn TlsStream + Send + Unpin> = match tls {
                None => Box::new(Plain(socket)),
                Some(mut tls) => {
                    let connector = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, &domain)?;
                    Box::new(connector.connect(socket).await?)
                }
            };
            Ok(Watched { stream, messages: Messages::new(first_error) })
        }
        .boxed()
    }
}

/// A socket without TLS, in place of one with it.
struct Plain(Socket);

impl TlsStream for Plain {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Plain {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A stream whose messages from the server are inspected as they pass.
pub struct Watched {
    stream: Box<dyn TlsStream + Send + Unpin>,
    messages: Messages,
}

impl TlsStream for Watched {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = polled {
            self.messages.pass(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A type byte and four bytes of length, which count themselves.
const HEADER: usize = 5;
/// How many bytes of an error are inspected: the code is among its first fields.
const LOOKED_AT: usize = 256;

/// Follows the boundaries of the server's messages; their contents are skipped, not parsed.
struct Messages {
    header: [u8; HEADER],
    /// Bytes of the header received so far.
    header_len: usize,
    /// Bytes of the message still to be received.
    remaining: usize,
    /// The beginning of the error that is being received.
    error: Option<Vec<u8>>,
    first_error: Arc<FirstError>,
}

impl Messages {
    fn new(first_error: Arc<FirstError>) -> Self {
        Self { header: [0; HEADER], header_len: 0, remaining: 0, error: None, first_error }
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.header_len < HEADER {
                let taken = bytes.len().min(HEADER - self.header_len);
                self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
                self.header_len += taken;
                bytes = &bytes[taken..];
                if self.header_len < HEADER {
                    return;
                }
                let [kind, length @ ..] = self.header;
                self.remaining = (u32::from_be_bytes(length) as usize).saturating_sub(HEADER - 1);
                self.error = (kind == b'E').then(Vec::new);
            }
            let passing = bytes.len().min(self.remaining);
            if let Some(error) = &mut self.error {
                error.extend_from_slice(&bytes[..passing.min(LOOKED_AT - error.len())]);
            }
            self.remaining -= passing;
            bytes = &bytes[passing..];
            if self.remaining == 0 {
                self.header_len = 0;
                if let Some(state) = self.error.take().as_deref().and_then(sqlstate) {
                    self.first_error.note(state);
                }
            }
        }
    }
}

/// The code among an error's fields: each a type byte and a text that ends with a zero.
fn sqlstate(error: &[u8]) -> Option<SqlState> {
    let mut fields = error.split(|byte| *byte == 0);
    let code = fields.find_map(|field| field.strip_prefix(b"C"))?;
    code.try_into().ok().map(SqlState)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn the_first_error_is_recorded_however_the_bytes_are_split() {
        let error = |code: &str| message(b'E', format!("SFEHLER\0VERROR\0C{code}\0MPlatte voll: Cdeadlock\0\0").as_bytes());
        let bytes = [message(b'D', b"E row C22021"), message(b'Z', b"I"), error("53100"), error("25P02"), message(b'C', b"")];
        let bytes = bytes.concat();
        for size in 1..bytes.len() {
            let first_error = Arc::<FirstError>::default();
            let mut messages = Messages::new(first_error.clone());
            bytes.chunks(size).for_each(|chunk| messages.pass(chunk));
            assert_eq!(first_error.take(), Some(SqlState(*b"53100")), "chunks of {size}");
            assert_eq!(first_error.take(), None);
        }
    }
}
