//! One request over HTTP/2 and its answer.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, ready},
    time::Duration,
};

use axum::{BoxError, response::Response};
use bytes::Buf;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use hyper::{
    body::{Body, Frame},
    http::{Request, StatusCode, header, response},
};
use tokio::time::{Instant, timeout};

use super::{HEAD, SEND_BUFFER, received::Received};
use crate::server::{
    date,
    dialogue::Dialogue,
    outgoing::{Outgoing, Piece},
    vitals::patience,
};

/// Headers for which HTTP/2 has other means.
const OF_THE_CONNECTION: [header::HeaderName; 5] = [
    header::CONNECTION,
    header::HeaderName::from_static("keep-alive"),
    header::HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a field of a head costs beside its bytes (RFC 9113, 6.5.2).
const FIELD: usize = 32;

/// Counts of failed requests of one connection.
#[derive(Default)]
pub(super) struct Tally {
    /// Reset by the client before they were answered.
    pub taken_back: AtomicU64,
    /// Not read by the client.
    pub unread: AtomicU64,
}

/// Why an answer is not completed.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the client does not read it")]
    Unread,
    #[error("the client takes it back: {0}")]
    TakenBack(Reason),
    #[error("the stream is gone")]
    Gone,
    #[error(transparent)]
    Protocol(#[from] h2::Error),
    #[error("{0}")]
    Body(BoxError),
}

/// Answers a request.
pub(super) async fn run(
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
    dialogue: Arc<Dialogue>,
    tally: Arc<Tally>,
) {
    let answering = async {
        match head_length(&request) {
            0..=HEAD => dialogue.answer(Received::of(request, &dialogue.vitals)).await,
            _ => dialogue.refuse(request.headers(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        }
    };
    let Some(answer) = unless_taken_back(answering, &mut respond).await else {
        tally.taken_back.fetch_add(1, Relaxed);
        return;
    };
    if let Err(error) = send(answer, respond).await {
        tracing::debug!(%error, "an answer is not sent to its end");
        if matches!(error, Broken::Unread) {
            tally.unread.fetch_add(1, Relaxed);
            dialogue.vitals.wake();
        }
    }
}

/// Bytes of a head, with what each field costs, as HTTP/2 counts them.
fn head_length(request: &Request<RecvStream>) -> usize {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    request.uri().path().len() + request.uri().query().map_or(0, str::len) + fields.sum::<usize>()
}

async fn unless_taken_back(
    answering: impl Future<Output = Response<Outgoing>>,
    respond: &mut SendResponse<Piece>,
) -> Option<Response<Outgoing>> {
    let mut answering = pin!(answering);
    poll_fn(|context| match answering.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => respond.poll_reset(context).map(|_| None),
    })
    .await
}

async fn send(answer: Response<Outgoing>, mut respond: SendResponse<Piece>) -> Result<(), Broken> {
    let (head, body) = answer.into_parts();
    let head = Response::from_parts(of_h2(head, &body), ());
    if body.is_end_stream() {
        respond.send_response(head, true)?;
        return Ok(());
    }
    let stream = respond.send_response(head, false)?;
    let mut sending = Sending { stream, body, taken: 0, waited: Duration::ZERO };
    let sent = sending.run().await;
    match &sent {
        Err(Broken::Unread) => sending.stream.send_reset(Reason::CANCEL),
        Err(Broken::Body(_)) => sending.stream.send_reset(Reason::INTERNAL_ERROR),
        _ => {}
    }
    sent
}

fn of_h2(mut head: response::Parts, body: &Outgoing) -> response::Parts {
    for name in &OF_THE_CONNECTION {
        head.headers.remove(name);
    }
    head.headers.entry(header::DATE).or_insert_with(date::now);
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    head
}

/// An answer that is being sent.
struct Sending {
    stream: SendStream<Piece>,
    body: Outgoing,
    /// What the client has read since it last had everything, and how long it kept the rest waiting.
    taken: u64,
    waited: Duration,
}

impl Sending {
    async fn run(&mut self) -> Result<(), Broken> {
        loop {
            let Some(frame) = self.next().await? else { return Ok(self.stream.send_data(Piece::nothing(), true)?) };
            let last = self.body.is_end_stream();
            let mut piece = match frame.into_data() {
                Ok(piece) => piece,
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => return Ok(self.stream.send_trailers(trailers)?),
                    Err(_) => continue,
                },
            };
            while piece.has_remaining() {
                let room = self.room(piece.remaining()).await?;
                let part = piece.split_to(room);
                self.taken += part.remaining() as u64;
                self.stream.send_data(part, last && !piece.has_remaining())?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// The next frame; pending until there is one.
    async fn next(&mut self) -> Result<Option<Frame<Piece>>, Broken> {
        poll_fn(|context| {
            if let Poll::Ready(reason) = self.stream.poll_reset(context)? {
                return Poll::Ready(Err(Broken::TakenBack(reason)));
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => Poll::Ready(frame.transpose().map_err(|error| Broken::Body(error.into()))),
                Poll::Pending => {
                    (self.taken, self.waited) = Default::default();
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// How much the client accepts now of what is to be sent, at least one byte; pending while it accepts nothing, up to a
    /// limit.
    async fn room(&mut self, wanted: usize) -> Result<usize, Broken> {
        let wanted = wanted.min(SEND_BUFFER);
        self.stream.reserve_capacity(wanted);
        let capacity = self.stream.capacity();
        if capacity > 0 {
            return Ok(capacity.min(wanted));
        }
        let begun = Instant::now();
        let left = patience(self.taken, self.waited);
        let stream = &mut self.stream;
        let opened = poll_fn(|context| {
            while stream.capacity() == 0 {
                match ready!(stream.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error.into())),
                    None => return Poll::Ready(Err(Broken::Gone)),
                }
            }
            Poll::Ready(Ok(stream.capacity()))
        });
        let capacity = timeout(left, opened).await.map_err(|_| Broken::Unread)??;
        self.waited += begun.elapsed();
        Ok(capacity.min(wanted))
    }
}
