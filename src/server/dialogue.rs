//! The requests of one connection, whichever protocol they come by.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{BoxError, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use hyper::{
    Method, StatusCode, Version,
    body::{Body as HttpBody, Incoming},
    http::HeaderMap,
};
use ipnet::IpNet;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::{
    controllers::problem::Problem,
    middleware::{
        self, Front,
        authentication::{self, Peer, caller_address},
    },
    services::{error::ServiceError, streams::Handover},
};

use super::{
    budget::{Account, Budget, expected, occupied},
    delivery::Handed,
    outgoing::{Open, Outgoing},
    upload::Upload,
    vitals::Vitals,
};

/// What answers all dialogues.
pub(super) struct Answering {
    pub front: Front,
    pub trusted_proxies: Arc<[IpNet]>,
    pub budget: Budget,
}

/// See the module's documentation.
pub(super) struct Dialogue {
    answering: Arc<Answering>,
    peer: Peer,
    /// Whose budget is charged; behind a trusted proxy it is another for each request.
    account: Option<Arc<Account>>,
    pub vitals: Arc<Vitals>,
    /// The event stream that the connection has become.
    pub handed: Mutex<Option<Handed>>,
}

impl Dialogue {
    pub fn new(answering: &Arc<Answering>, peer: Peer, vitals: Arc<Vitals>) -> Self {
        let address = peer.0.ip();
        let is_proxy = authentication::is_trusted(address, &answering.trusted_proxies);
        let account = (!is_proxy).then(|| answering.budget.account(authentication::network(address.to_canonical())));
        Self { answering: Arc::clone(answering), peer, account, vitals, handed: Mutex::default() }
    }

    /// Whether it speaks for many clients, of whom one must not spoil it for the others.
    pub fn is_proxied(&self) -> bool {
        self.account.is_none()
    }

    /// The answer to a request over HTTP/1. Never comes where it is an event stream that hyper need not write: the connection is taken from it.
    pub async fn answer_or_hand_over(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Outgoing>, Infallible> {
        let version = request.version();
        let plain = request.method() == Method::GET && version < Version::HTTP_2 && request.body().is_end_stream();
        let response = self.answer(request).await;
        if !plain || self.vitals.unsent.load(Relaxed) {
            return Ok(response);
        }
        let Some(events) = response.extensions().get().and_then(Handover::take) else { return Ok(response) };
        let (head, _) = response.into_parts();
        *self.handed.lock() = Some(Handed::new(head, events, version));
        std::future::pending().await
    }

    /// The answer to a request, once there is room for it.
    pub async fn answer<B>(&self, request: hyper::Request<B>) -> Response<Outgoing>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let mut open = Open::new(Arc::clone(&self.vitals));
        let mut request: Request =
            request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(Upload::new(body)) });
        request.extensions_mut().insert(self.peer);
        let forwarded;
        let account = match &self.account {
            Some(account) => account,
            None => {
                forwarded = self.answering.budget.account(caller_address(&request, &self.answering.trusted_proxies));
                &forwarded
            }
        };
        let is_only_one = self.vitals.open.load(Relaxed) == 1;
        let response = match account.admit(expected(&request), is_only_one).await {
            Err(_) => refusal(request.headers()),
            Ok(mut expense) => {
                let Ok(response) = self.answering.front.clone().oneshot(request).await;
                if response.extensions().get::<Handover>().is_some() {
                    // Bounded by the number of streams: what it has not read is in the log that all share.
                    drop(expense);
                    response
                } else if account.settle(&mut expense, occupied(response.body())).is_ok() {
                    open.expense = Some(expense);
                    response
                } else {
                    refusal(response.headers())
                }
            }
        };
        response.map(|body| Outgoing::new(body, open))
    }

    /// The refusal of a request with these headers that no handler is to see.
    pub fn refuse(&self, headers: &HeaderMap, status: StatusCode) -> Response<Outgoing> {
        let open = Open::new(Arc::clone(&self.vitals));
        middleware::refuse(&Problem::of_status(status), headers).map(|body| Outgoing::new(body, open))
    }
}

/// There is no room for this request, or for its answer, which has the same id.
fn refusal(headers: &HeaderMap) -> Response {
    middleware::refuse(&Problem::from(ServiceError::Overloaded), headers)
}
