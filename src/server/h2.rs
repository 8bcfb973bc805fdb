//! One HTTP/2 connection, on the h2 crate itself.
//!
//! hyper gives an answer to h2 as soon as the client's window is open by a byte, and leaves it there for as long as the client
//! likes. Here an answer gives h2 what the window allows and no more, and is ended if the client does not read it
//! (`exchange.rs`).

mod exchange;
mod received;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use h2::{
    Ping, PingPong, Reason,
    server::{Builder, Connection},
};
use tokio_util::sync::CancellationToken;

use super::{connection::Attended, link::Link, outgoing::Piece, socket::Socket, vitals::Finding};
use exchange::Tally;

/// The most open requests of one connection. Clients send further ones when these are answered; proxies open further
/// connections.
const STREAMS: u32 = 32;
/// Bytes of a request's body, and of all bodies of a connection, that may arrive before they are read.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// The longest head of a request, as over HTTP/1. A longer one is still read, so that it can be refused by a problem document;
/// h2 refuses even longer ones by a bare status.
const HEAD: usize = 16 * 1024;
const REFUSED_HEAD: u32 = 64 * 1024;
/// Bytes of an answer that h2 holds until the socket accepts them.
pub(super) const SEND_BUFFER: usize = 32 * 1024;

/// Bytes that a client may send besides requests' heads and bodies: this many at first, this many a second, and this many with
/// each request.
const ALLOWANCE: u64 = 256 * 1024;
const ALLOWANCE_A_SECOND: u64 = 1024;
const ALLOWANCE_A_REQUEST: u64 = 96 * 1024;
/// After this many requests reset by a client, it is checked whether these are most of its requests.
const TAKEN_BACK: u64 = 200;
/// The most answers that a client may leave unread before the connection is ended. A proxy carries many clients, so only the
/// answer is ended.
const UNREAD: u64 = 4;

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(REFUSED_HEAD)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Serves a connection until it ends or `stop` tells it to finish.
pub(super) async fn serve<IO: Socket>(
    link: Link<IO>,
    mut attended: Attended<'_>,
    stop: &CancellationToken,
) -> Result<(), h2::Error> {
    attended.watch.ask();
    let mut handshake = pin!(builder().handshake::<_, Piece>(link));
    let shaken = poll_fn(|context| match attended.poll_over(context) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => handshake.as_mut().poll(context).map(Some),
    });
    let Some(connection) = shaken.await else { return Ok(()) };
    let mut connection = connection?;
    let pings = connection.ping_pong().expect("nobody has taken it");
    let mut serving = Serving { connection, pings, attended, tally: Arc::default(), leaving: false };
    let mut stopped = pin!(stop.cancelled());
    poll_fn(|context| {
        if !serving.leaving && stopped.as_mut().poll(context).is_ready() {
            serving.leave();
        }
        serving.poll(context)
    })
    .await
}

struct Serving<'a, IO: Socket> {
    connection: Connection<Link<IO>, Piece>,
    pings: PingPong,
    attended: Attended<'a>,
    tally: Arc<Tally>,
    /// No more requests are accepted.
    leaving: bool,
}

impl<IO: Socket> Serving<'_, IO> {
    fn leave(&mut self) {
        self.leaving = true;
        self.connection.graceful_shutdown();
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while let Poll::Ready(finding) = self.attended.poll(context) {
            match finding {
                Finding::Resting | Finding::Stirring => {}
                // A ping may be outstanding already.
                Finding::Quiet => drop(self.pings.send_ping(Ping::opaque())),
                Finding::Idle if !self.leaving => self.leave(),
                Finding::Idle => return Poll::Ready(Ok(())),
                Finding::Over(why) => return self.cut_off(Reason::NO_ERROR, why, context),
            }
        }
        // Takes the answer to a ping, so that the next one can be sent. What counts is that anything was read at all.
        let _ = self.pings.poll_pong(context);
        loop {
            if let Some(why) = self.is_abusive() {
                return self.cut_off(Reason::ENHANCE_YOUR_CALM, why, context);
            }
            match ready!(self.connection.poll_accept(context)) {
                Some(Ok((request, respond))) => {
                    let (dialogue, tally) = (Arc::clone(self.attended.dialogue), Arc::clone(&self.tally));
                    tokio::spawn(exchange::run(request, respond, dialogue, tally));
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Ends the connection at once, and notifies the client if that is possible without waiting.
    fn cut_off(&mut self, reason: Reason, why: &str, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        tracing::debug!(why, "a connection is cut off");
        self.connection.abrupt_shutdown(reason);
        let _ = self.connection.poll_closed(context);
        Poll::Ready(Ok(()))
    }

    /// Whether the client keeps the server busy with anything but requests.
    fn is_abusive(&self) -> Option<&'static str> {
        let vitals = &self.attended.dialogue.vitals;
        let (begun, bodies) = (vitals.begun.load(Relaxed), vitals.bodies.load(Relaxed));
        // Each piece of an answer may be followed by two window updates, which are shorter than half of the smallest piece.
        let written = vitals.written.load(Relaxed) / 2;
        let allowed = ALLOWANCE + ALLOWANCE_A_SECOND * self.attended.watch.age().as_secs() + ALLOWANCE_A_REQUEST * begun;
        let taken_back = self.tally.taken_back.load(Relaxed);
        if vitals.read.load(Relaxed) > allowed + written + bodies {
            Some("it sends what is no request")
        } else if taken_back > TAKEN_BACK && taken_back > begun / 2 {
            Some("it takes its requests back")
        } else if self.tally.unread.load(Relaxed) >= UNREAD && !self.attended.dialogue.is_proxied() {
            Some("it does not read its answers")
        } else {
            None
        }
    }
}
