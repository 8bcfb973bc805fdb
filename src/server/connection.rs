//! One connection from its first byte to its last: tells the protocol, lets hyper serve it, and takes event streams over HTTP/1 out of
//! hyper's hands.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use hyper::{
    Method,
    body::{Body as _, Incoming},
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    middleware::{Front, authentication::Peer},
    services::streams::Handover,
};

use super::{delivery::Handed, link::Link};

/// How long a new connection may take until its first request is complete to the end of its head.
pub(super) const FIRST_REQUEST: Duration = Duration::from_secs(15);
/// How long a connection may idle between requests, the next one's head included. Longer than clients' pools keep theirs.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Read and write buffer of an HTTP/1 connection, and so the longest head of a request.
const BUFFER: usize = 16 * 1024;
/// Streams within one HTTP/2 connection.
const H2_STREAMS: u32 = 256;
/// How often an idle HTTP/2 connection is asked whether it is still there.
const H2_PING: Duration = Duration::from_secs(20);

/// Both protocols, as every connection is served.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new()).max_concurrent_streams(H2_STREAMS).keep_alive_interval(H2_PING);
        Self { http1, http2 }
    }

    /// Serves a connection until it ends or `stop` says to finish. Where it has become an event stream, answers the socket and what to write to it.
    pub async fn serve<IO>(&self, io: IO, peer: Peer, front: Front, stop: &CancellationToken) -> Option<(IO, Handed)>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let requests =
            Arc::new(Requests { front, peer, begun: AtomicBool::new(false), unsent: Arc::default(), handed: Mutex::default() });
        let begun = Arc::clone(&requests);
        let serving = self.serve_requests(io, requests, stop);
        // Until the protocol is known hyper has no time-out of its own, and a silent connection would keep its permit for ever.
        let silent = async {
            tokio::time::sleep(FIRST_REQUEST).await;
            if begun.begun.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        };
        tokio::select! {
            handed = serving => handed,
            () = silent => None,
        }
    }

    async fn serve_requests<IO>(&self, io: IO, requests: Arc<Requests>, stop: &CancellationToken) -> Option<(IO, Handed)>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let identified = stop.run_until_cancelled(Link::identify(io, Arc::clone(&requests.unsent))).await?;
        let (link, is_h2) = identified.ok()?;
        let answering = Arc::clone(&requests);
        let service = hyper::service::service_fn(move |request| Arc::clone(&answering).answer(request));
        if is_h2 {
            let mut connection = pin!(self.http2.serve_connection(TokioIo::new(link), service));
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            note(result);
            return None;
        }
        let mut connection = self.http1.serve_connection(TokioIo::new(link), service);
        let mut stopped = pin!(stop.cancelled());
        let mut stopping = false;
        let result = poll_fn(|context| {
            if !stopping && stopped.as_mut().poll(context).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            let result = Pin::new(&mut connection).poll(context);
            if result.is_pending() && requests.handed.lock().is_some() { Poll::Ready(Ok(())) } else { result }
        })
        .await;
        note(result);
        let handed = requests.handed.lock().take()?;
        Some((connection.into_parts().io.into_inner().io, handed))
    }
}

/// What the requests of one connection have in common.
struct Requests {
    front: Front,
    peer: Peer,
    /// A request has come.
    begun: AtomicBool,
    /// Bytes of an earlier answer are still on their way.
    unsent: Arc<AtomicBool>,
    /// The event stream that the connection has become.
    handed: Mutex<Option<Handed>>,
}

impl Requests {
    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
        self.begun.store(true, Ordering::Relaxed);
        let version = request.version();
        let plain = request.method() == Method::GET && version < hyper::Version::HTTP_2 && request.body().is_end_stream();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        let response = self.front.clone().oneshot(request).await?;
        if !plain || self.unsent.load(Ordering::Relaxed) {
            return Ok(response);
        }
        let Some(events) = response.extensions().get().and_then(Handover::take) else { return Ok(response) };
        let (head, _) = response.into_parts();
        *self.handed.lock() = Some(Handed::new(head, events, version));
        // hyper is never told of an answer: the connection is taken from it.
        std::future::pending().await
    }
}

fn note(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
