//! `reference-fanout`: the fan-out that one would write with hyper and nothing else. No store, no ranking, no resuming: a score is encoded
//! once and its bytes are shared by all streams. Speaks as much of the API as the stream scenarios use, with events of the same size.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use clap::Args;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response,
    body::{Body, Frame, Incoming},
    header::HeaderValue,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime};

/// Where it listens.
#[derive(Args)]
pub struct FanoutServerArgs {
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Events that a slow stream may fall behind before it loses some.
    #[arg(long, default_value_t = 16_384)]
    history: usize,
}

/// The events that there are, and who waits for the next one. A log that all streams read with a cursor of their own costs less than a
/// channel that hands each of them each event.
#[derive(Default)]
struct Log {
    events: VecDeque<Bytes>,
    /// Sequence number of the newest event.
    newest: u64,
    waiting: Vec<Waker>,
}

/// What all connections share.
struct Hub {
    log: Mutex<Log>,
    history: usize,
}

/// One stream: a cursor into the log.
struct Stream {
    hub: Arc<Hub>,
    /// Goes out first.
    snapshot: Option<Bytes>,
    seen: u64,
}

/// Serves until it is ended.
pub fn run(args: FanoutServerArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.listen.ip().is_loopback(), "a server without any protection listens on loopback only");
    crate::http::sockets::allow(0)?;
    let hub = Arc::new(Hub { log: Mutex::default(), history: args.history });
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let hub = Arc::clone(&hub);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&hub), request));
                // A connection that ends in the middle is the client's affair.
                http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
            });
        }
    })
}

/// The whole API.
async fn answer(hub: Arc<Hub>, request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Stream>>, Infallible> {
    let path = request.uri().path();
    if path.ends_with("/stream") {
        let mut response = Response::new(Either::Right(hub.watch()));
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
        return Ok(response);
    }
    let body = if request.method() == Method::POST && path == "/api/scores" { hub.post() } else { "{\"total\":1}".to_owned() };
    Ok(Response::new(Either::Left(Full::new(Bytes::from(body)))))
}

impl Hub {
    /// The next event to everyone.
    fn post(&self) -> String {
        let mut log = self.log.lock().expect("no panic meanwhile");
        let (since, sequence) = (log.newest, log.newest + 1);
        let user = sequence % 1000;
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let event = format!(
            "id: 0199a7f3c1d2-{sequence}\nevent: score-updated\ndata: {{\"leaderboardId\":\"load\",\"season\":1,\
             \"eventId\":\"0199a7f3-c1d2-7000-8000-{sequence:012}\",\"userId\":\"u-{user}\",\"displayName\":\"u-{user}\",\
             \"actionId\":\"load.point\",\"delta\":1,\"score\":{sequence},\"previousScore\":{since},\"at\":\"{at}\",\
             \"version\":\"0199a7f3c1d2-{sequence}\",\"since\":\"0199a7f3c1d2-{since}\",\"rank\":1,\"previousRank\":1,\"total\":1000}}\n\n"
        );
        log.newest = sequence;
        log.events.push_back(Bytes::from(event));
        if log.events.len() > self.history {
            log.events.pop_front();
        }
        let waiting = std::mem::take(&mut log.waiting);
        drop(log);
        waiting.into_iter().for_each(Waker::wake);
        format!("{{\"version\":\"0199a7f3c1d2-{sequence}\"}}")
    }

    /// A snapshot, then all that comes.
    fn watch(self: Arc<Self>) -> Stream {
        let seen = self.log.lock().expect("no panic meanwhile").newest;
        let snapshot = format!("id: 0199a7f3c1d2-{seen}\nevent: leaderboard\ndata: {{\"entries\":[]}}\n\n");
        Stream { hub: self, snapshot: Some(Bytes::from(snapshot)), seen }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let stream = self.get_mut();
        if let Some(snapshot) = stream.snapshot.take() {
            return Poll::Ready(Some(Ok(Frame::data(snapshot))));
        }
        let mut log = stream.hub.log.lock().expect("no panic meanwhile");
        if stream.seen == log.newest {
            log.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        // Whoever fell behind the history goes on with its oldest event: the client sees the gap.
        let oldest = log.newest - log.events.len() as u64;
        stream.seen = stream.seen.max(oldest) + 1;
        let event = log.events[(stream.seen - oldest - 1) as usize].clone();
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}
