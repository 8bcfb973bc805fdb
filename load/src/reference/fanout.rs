//! `reference-fanout`: the fan-out that one would write with hyper and nothing else. No store, no ranking, no resuming: a score is encoded
//! once and its bytes are shared by all streams. Speaks as much of the API as the stream scenarios use, with events of the same size.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use clap::Args;
use futures_util::{StreamExt, stream};
use http_body_util::{Either, Full, StreamBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime, sync::broadcast};
use tokio_stream::wrappers::BroadcastStream;

/// Where it listens.
#[derive(Args)]
pub struct FanoutServerArgs {
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Events that a slow stream may fall behind before it loses some.
    #[arg(long, default_value_t = 16_384)]
    history: usize,
}

/// All that the server knows.
struct Hub {
    sequence: AtomicU64,
    /// Events of one score come after those of the score before.
    order: Mutex<broadcast::Sender<Bytes>>,
}

/// Serves until it is ended.
pub fn run(args: FanoutServerArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.listen.ip().is_loopback(), "a server without any protection listens on loopback only");
    crate::http::sockets::allow(0)?;
    let hub = Arc::new(Hub { sequence: AtomicU64::new(0), order: Mutex::new(broadcast::Sender::new(args.history)) });
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

type Stream = stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

/// The whole API.
async fn answer(
    hub: Arc<Hub>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, StreamBody<Stream>>>, Infallible> {
    let path = request.uri().path();
    if path.ends_with("/stream") {
        let mut response = Response::new(Either::Right(StreamBody::new(hub.watch())));
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/event-stream"));
        return Ok(response);
    }
    let body = if request.method() == Method::POST && path == "/api/scores" { hub.post() } else { "{\"total\":1}".to_owned() };
    Ok(Response::new(Either::Left(Full::new(Bytes::from(body)))))
}

impl Hub {
    /// The next event to everyone.
    fn post(&self) -> String {
        let order = self.order.lock().expect("no panic meanwhile");
        let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
        let (since, user) = (sequence - 1, sequence % 1000);
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let event = format!(
            "id: 0199a7f3c1d2-{sequence}\nevent: score-updated\ndata: {{\"leaderboardId\":\"load\",\"season\":1,\
             \"eventId\":\"0199a7f3-c1d2-7000-8000-{sequence:012}\",\"userId\":\"u-{user}\",\"displayName\":\"u-{user}\",\
             \"actionId\":\"load.point\",\"delta\":1,\"score\":{sequence},\"previousScore\":{since},\"at\":\"{at}\",\
             \"version\":\"0199a7f3c1d2-{sequence}\",\"since\":\"0199a7f3c1d2-{since}\",\"rank\":1,\"previousRank\":1,\"total\":1000}}\n\n"
        );
        // Nobody may be watching.
        order.send(Bytes::from(event)).ok();
        format!("{{\"version\":\"0199a7f3c1d2-{sequence}\"}}")
    }

    /// A snapshot, then all that comes.
    fn watch(&self) -> Stream {
        let order = self.order.lock().expect("no panic meanwhile");
        let sequence = self.sequence.load(Relaxed);
        let snapshot = format!("id: 0199a7f3c1d2-{sequence}\nevent: leaderboard\ndata: {{\"entries\":[]}}\n\n");
        let events = BroadcastStream::new(order.subscribe()).filter_map(|event| async { event.ok() });
        stream::once(async { Bytes::from(snapshot) }).chain(events).map(|event| Ok(Frame::data(event))).boxed()
    }
}
