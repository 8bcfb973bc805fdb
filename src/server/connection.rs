//! One connection from its first byte to its last: detects the protocol, lets hyper or h2 serve it, and takes event streams
//! over HTTP/1 away from hyper.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::{
    delivery::Handed,
    dialogue::Dialogue,
    h2,
    link::Link,
    places::Place,
    refusal,
    socket::Socket,
    vitals::{Finding, IDLE, Watch},
};

/// Read and write buffer of an HTTP/1 connection, and so the longest head of a request.
const BUFFER: usize = 16 * 1024;

/// A connection with its watch and its slot.
pub(super) struct Attended<'a> {
    pub dialogue: &'a Arc<Dialogue>,
    pub watch: Watch,
    pub place: &'a mut Place,
}

impl Attended<'_> {
    /// The next finding about the connection. Its slot is updated here.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Finding> {
        let finding = self.watch.poll(context);
        match finding {
            Poll::Ready(Finding::Resting) => self.place.rest(&self.dialogue.vitals),
            Poll::Ready(Finding::Stirring) => self.place.stir(),
            _ => {}
        }
        finding
    }

    /// Why it has to end.
    pub fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        while let Poll::Ready(finding) = self.poll(context) {
            match finding {
                Finding::Over(why) => return Poll::Ready(why),
                Finding::Idle => return Poll::Ready("nothing is asked for"),
                Finding::Resting | Finding::Stirring | Finding::Quiet => {}
            }
        }
        Poll::Pending
    }
}

/// The settings of every HTTP/1 connection.
pub(super) fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER);
    http1
}

/// Serves a connection until it ends or `stop` tells it to finish. If it has become an event stream, returns the socket and
/// what to write to it.
pub(super) async fn serve<IO: Socket>(
    io: IO,
    http1: &http1::Builder,
    dialogue: &Arc<Dialogue>,
    place: &mut Place,
    stop: &CancellationToken,
) -> Option<(IO, Handed)> {
    let watch = Watch::new(Arc::clone(&dialogue.vitals));
    let mut attended = Attended { dialogue, watch, place };
    let identified = tokio::select! {
        identified = Link::identify(io) => identified,
        () = stop.cancelled() => return None,
        // Until the protocol is known hyper has no time-out of its own, and a silent connection would keep its slot for ever.
        _ = poll_fn(|context| attended.poll_over(context)) => return None,
    };
    let (link, is_h2) = identified.ok()?;
    if is_h2 {
        note(h2::serve(link, attended, stop).await);
        return None;
    }
    serve_http1(link, http1, attended, stop).await
}

async fn serve_http1<IO: Socket>(
    link: Link<IO>,
    http1: &http1::Builder,
    mut attended: Attended<'_>,
    stop: &CancellationToken,
) -> Option<(IO, Handed)> {
    let dialogue = attended.dialogue;
    let service = hyper::service::service_fn(|request| Arc::clone(dialogue).answer_or_hand_over(request));
    let mut connection = http1.serve_connection(TokioIo::new(link), service);
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let result = poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(why) = attended.poll_over(context) {
            tracing::debug!(why, "a connection is cut off");
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut connection).poll(context);
        if result.is_pending() && dialogue.handed.lock().is_some() { Poll::Ready(Ok(())) } else { result }
    })
    .await;
    let is_refused = result.as_ref().is_err_and(hyper::Error::is_parse);
    note(result);
    let mut io = connection.into_parts().io.into_inner().io;
    if is_refused {
        refusal::part_from(io).await;
        return None;
    }
    let handed = dialogue.handed.lock().take()?;
    io.uncount();
    attended.place.stir();
    Some((io, handed))
}

fn note<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
