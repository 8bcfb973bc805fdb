//! Accepting connections, serving them, and letting go of them.
//!
//! An accept loop of our own on hyper: `axum::serve` sets no `TCP_NODELAY`, has no header time-out and no bound on buffers, and waits for
//! open streams for ever when it is told to stop. `connection.rs` is one connection, `delivery.rs` one that has become an event stream.

mod connection;
mod delivery;
mod link;
pub mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::middleware::{Front, authentication::Peer};

use connection::Protocols;
use tls::Tls;

/// Connections that the kernel has completed and that wait to be accepted. When full, further ones are dropped and their clients ask again after a
/// second or more: the usual 128 are taken within a tenth of a second when everybody comes back at once. The kernel lowers it
/// to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// What the kernel holds back for a client that does not read. Left to itself it grows to megabytes, and a slow stream shows the past.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client may leave what it was sent unacknowledged, or its window shut, before the kernel gives the connection up: a phone that
/// lost its network sends no farewell.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// How long open requests may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long the cutting off may take.
const CUT_OFF: Duration = Duration::from_secs(1);
/// How long to wait when the process has run out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener on this address, whose connections wait in the kernel until [`serve`] takes them.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port whose connections ended a moment ago can be listened on again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`, then finishes what is open, for as long as `GRACE` says at the most. At most `connections` at once; further ones wait in the
/// listener's backlog.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, front: Front, connections: usize, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(connections));
    let server = Server { protocols: Protocols::new(), front, stop, cut_off: CancellationToken::new(), open: TaskTracker::new() };
    let server = Arc::new(server);
    loop {
        let (stream, peer, permit) = tokio::select! {
            () = server.stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        prepare(&stream);
        let (server, tls) = (Arc::clone(&server), tls.clone());
        match tls {
            None => server.open.clone().spawn(server.serve(stream, Peer(peer), permit)),
            Some(tls) => server.open.clone().spawn(async move {
                let accepted = server.stop.run_until_cancelled(tls.accept(stream)).await.flatten();
                if let Some(stream) = accepted {
                    server.serve(stream, Peer(peer), permit).await;
                }
            }),
        };
    }
    drop(listener);
    server.open.close();
    if tokio::time::timeout(GRACE, server.open.wait()).await.is_err() {
        tracing::warn!(connections = server.open.len(), "connections are cut off");
        server.cut_off.cancel();
        tokio::time::timeout(CUT_OFF, server.open.wait()).await.ok();
    }
}

/// What all connections of a listener share.
struct Server {
    protocols: Protocols,
    front: Front,
    stop: CancellationToken,
    /// The time for finishing is over.
    cut_off: CancellationToken,
    open: TaskTracker,
}

impl Server {
    async fn serve<IO>(self: Arc<Self>, io: IO, peer: Peer, permit: OwnedSemaphorePermit)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let serving = self.protocols.serve(io, peer, self.front.clone(), &self.stop);
        let Some(Some((io, handed))) = self.cut_off.run_until_cancelled(serving).await else { return };
        // A task of its own, so that a stream keeps only what it needs and not the room of a whole dialogue.
        self.open.spawn(handed.deliver(io, permit));
    }
}

fn prepare(stream: &TcpStream) {
    // Events are small and have to leave at once.
    stream.set_nodelay(true).ok();
    let socket = socket2::SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER).ok();
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)).ok();
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
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
    async fn hundreds_wait_their_turn_who_come_in_the_same_moment() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts. Who finds no place is not answered, and asks again after a second.
        let waiting: Vec<_> =
            (0..300).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(700)).unwrap()).collect();
        drop(waiting);
    }
}
