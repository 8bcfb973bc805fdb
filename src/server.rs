//! Accepts connections, serves them, and closes them.
//!
//! An accept loop of our own on hyper and h2: `axum::serve` sets no `TCP_NODELAY`, has no header time-out and no bound on
//! buffers, and waits for open streams for ever when it is stopped. One client must not harm the others: connections are
//! bounded by address (`places.rs`), requests and answers by the memory they occupy (`budget.rs`), and connections without
//! progress are ended (`vitals.rs`, `upload.rs`, `h2/exchange.rs`). `connection.rs` is one connection, `dialogue.rs` its
//! requests, `delivery.rs` one that has become an event stream.

mod budget; // the memory of requests and unsent answers, by address
mod connection; // one connection, from its first byte to its last
mod date; // the `Date` header where hyper does not write it
mod delivery; // an event stream over HTTP/1, after hyper
mod dialogue; // the requests of one connection
mod h2; // an HTTP/2 connection, on the h2 crate
mod head; // an HTTP/1 answer's head where hyper does not write it
mod link; // the bytes of a connection as hyper and h2 see them
mod outgoing; // an answer that is being sent
mod places; // the limits on open connections, in all and by address
mod refusal; // HTTP/1 refusals that no handler makes
mod socket; // a socket that counts its bytes
pub mod tls; // TLS, with a certificate that can be replaced
mod upload; // a request body that is being received
mod vitals; // ends a connection that makes no progress

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    http::problem::Problem,
    middleware::{
        Front,
        authentication::{Peer, is_trusted, network},
    },
    supervisor::{Broken, supervised_as},
};

use budget::Budget;
use dialogue::{Answering, Dialogue};
use places::{Place, Places};
use socket::{Counted, Socket};
use tls::Tls;
use vitals::Vitals;

pub use places::Room;

/// Connections that the kernel has completed and that wait to be accepted. When full, further ones are dropped and their
/// clients retry after a second or more: the usual 128 are used up within a tenth of a second when all clients reconnect at
/// once. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// The kernel's send buffer for a client that does not read. Unbounded it grows to megabytes, and a slow stream shows the past.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client may leave sent data unacknowledged, or its window closed, before the kernel drops the connection: a phone
/// that lost its network sends no FIN.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// How long open requests may continue after the server was told to stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long ending the remaining connections may take.
const CUT_OFF: Duration = Duration::from_secs(1);
/// How long to wait when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener on this address, whose connections wait in the kernel until [`serve`] accepts them.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Allows listening again on a port whose connections ended a moment ago.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The clients of a listener.
pub struct Clients {
    pub room: Room,
    /// Each of these addresses represents many clients.
    pub trusted_proxies: Arc<[IpNet]>,
}

/// Serves until `stop`, then finishes what is open, for at most `GRACE`. When there is no room, further connections wait in the
/// listener's backlog, or are refused if their own address has too many. If accepting panics it is restarted, and counts as
/// `broken` until then; open connections continue.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    front: Front,
    clients: Clients,
    stop: CancellationToken,
    broken: Broken,
) {
    let Clients { room, trusted_proxies } = clients;
    let answering = Arc::new(Answering { front, trusted_proxies, budget: Budget::new() });
    let (cut_off, open) = (CancellationToken::new(), TaskTracker::new());
    let server = Arc::new(Server { http1: connection::http1(), answering, stop, cut_off, open });
    let door = Arc::new(Door { listener, tls, places: Places::new(room), server: Arc::clone(&server) });
    let accepting = Box::pin(supervised_as("accepting connections", &broken, || Arc::clone(&door).accept_all()));
    server.stop.run_until_cancelled(accepting).await;
    drop(door);
    server.open.close();
    if tokio::time::timeout(GRACE, server.open.wait()).await.is_err() {
        tracing::warn!(connections = server.open.len(), "connections are cut off");
        server.cut_off.cancel();
        tokio::time::timeout(CUT_OFF, server.open.wait()).await.ok();
    }
}

/// The accepting side of a listener.
struct Door {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    places: Arc<Places>,
    server: Arc<Server>,
}

impl Door {
    async fn accept_all(self: Arc<Self>) {
        let server = &self.server;
        loop {
            let (stream, peer) = accept(&self.listener, &self.places).await;
            // A failpoint that can only panic: this connection is lost, and no other.
            crate::failpoints::fails("connection-accepted");
            let vitals = Arc::<Vitals>::default();
            let unbounded = is_trusted(peer.ip(), &server.answering.trusted_proxies);
            let Some(place) = self.places.take(network(peer.ip().to_canonical()), unbounded, &vitals) else {
                if self.tls.is_none() {
                    refuse(&stream);
                }
                continue;
            };
            prepare(&stream);
            let socket = Counted::new(stream, Arc::clone(&vitals));
            let dialogue = Arc::new(Dialogue::new(&server.answering, Peer(peer), vitals));
            match self.tls.clone() {
                None => server.open.spawn(Arc::clone(server).serve(socket, dialogue, place)),
                Some(tls) => server.open.spawn(Arc::clone(server).serve_tls(tls, socket, dialogue, place)),
            };
        }
    }
}

/// What all connections of a listener share.
struct Server {
    http1: http1::Builder,
    answering: Arc<Answering>,
    stop: CancellationToken,
    /// Cancelled when the time for finishing is over.
    cut_off: CancellationToken,
    open: TaskTracker,
}

impl Server {
    async fn serve_tls(self: Arc<Self>, tls: Arc<Tls>, socket: Counted, dialogue: Arc<Dialogue>, place: Place) {
        let accepted = tokio::select! {
            accepted = tls.accept(socket) => accepted,
            () = dialogue.vitals.wait_ended() => None,
            () = self.stop.cancelled() => None,
        };
        if let Some(socket) = accepted {
            self.serve(socket, dialogue, place).await;
        }
    }

    async fn serve<IO: Socket>(self: Arc<Self>, io: IO, dialogue: Arc<Dialogue>, mut place: Place) {
        let serving = connection::serve(io, &self.http1, &dialogue, &mut place, &self.stop);
        let Some(Some((io, handed))) = self.cut_off.run_until_cancelled(serving).await else { return };
        // A task of its own, so that a stream keeps only what it needs and not the memory of a whole dialogue.
        self.open.spawn(handed.deliver(io, place));
    }
}

/// Tells the client why a connection is not served. Best effort: a client that has already sent something may only see the
/// connection closed.
fn refuse(stream: &TcpStream) {
    stream.try_write(&refusal::answer(&Problem::too_many_connections())).ok();
}

fn prepare(stream: &TcpStream) {
    // Events are small and have to be sent at once.
    stream.set_nodelay(true).ok();
    let socket = socket2::SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER).ok();
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)).ok();
}

async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                // A connection is evicted only when another one waits.
                places.room().await;
                return accepted;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn hundreds_of_simultaneous_connections_wait_in_the_backlog() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        // Nothing accepts here. A client without a place in the backlog is not answered, and retries after a second.
        let waiting: Vec<_> =
            (0..300).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(700)).unwrap()).collect();
        drop(waiting);
    }
}
