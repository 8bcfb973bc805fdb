//! Accepting connections, serving them, and letting go of them.
//!
//! An accept loop of our own on hyper-util: `axum::serve` sets no `TCP_NODELAY`, has no header time-out and no bound on buffers, and waits for
//! open streams for ever when it is told to stop.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::middleware::authentication::Peer;

/// How long a new connection may take until its first request is complete to the end of its head.
const FIRST_REQUEST: Duration = Duration::from_secs(15);
/// How long a connection may idle between requests, the next one's head included. Longer than clients' pools keep theirs.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Read and write buffer of an HTTP/1 connection, and so the longest head of a request.
const BUFFER: usize = 16 * 1024;
/// Streams within one HTTP/2 connection.
const H2_STREAMS: u32 = 256;
/// What the kernel holds back for a client that does not read. Left to itself it grows to megabytes, and a slow stream shows the past.
const SEND_BUFFER: usize = 64 * 1024;
/// How often an idle HTTP/2 connection is asked whether it is still there.
const H2_PING: Duration = Duration::from_secs(20);
/// How long open requests may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long to wait when the process has run out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then finishes what is open, for [`GRACE`] at the most. At most `connections` at once; further ones wait in the
/// listener's backlog.
pub async fn serve(listener: TcpListener, router: Router, connections: usize, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(connections));
    let builder = Arc::new(connection_builder());
    let open = TaskTracker::new();
    let cut_off = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, peer, permit) = accepted;
        let (builder, router, stop, cut_off) = (Arc::clone(&builder), router.clone(), stop.clone(), cut_off.clone());
        open.spawn(async move {
            cut_off.run_until_cancelled_owned(serve_connection(&builder, stream, peer, router, stop)).await;
            drop(permit);
        });
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(GRACE, open.wait()).await.is_err() {
        tracing::warn!(connections = open.len(), "connections are cut off");
        cut_off.cancel();
        open.wait().await;
    }
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
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

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(H2_STREAMS).keep_alive_interval(H2_PING);
    builder
}

async fn serve_connection(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    // Events are small and have to leave at once.
    stream.set_nodelay(true).ok();
    socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER).ok();
    let asked = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        first.store(true, Ordering::Relaxed);
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Until the protocol is known hyper has no time-out of its own, and a silent connection would keep its permit for ever.
    let silent = async {
        tokio::time::sleep(FIRST_REQUEST).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = silent => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
