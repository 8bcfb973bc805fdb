//! The requests of one connection, over either protocol.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{BoxError, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use hyper::{
    Method, StatusCode, Version,
    body::{Body as HttpBody, Incoming},
    http::{HeaderMap, HeaderValue, header},
};
use ipnet::IpNet;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::{
    http::problem::Problem,
    middleware::{
        self, Front,
        authentication::{self, Peer, caller_address},
    },
    services::{error::ServiceError, streams::Handover},
};

use super::{
    budget::{Account, Budget, Expense, expected, may_be_free, occupied},
    delivery::Handed,
    outgoing::{Open, Outgoing},
    upload::Upload,
    vitals::Vitals,
};

/// The state shared by all dialogues.
pub(super) struct Answering {
    pub front: Front,
    pub trusted_proxies: Arc<[IpNet]>,
    pub budget: Budget,
}

/// See the module's documentation.
pub(super) struct Dialogue {
    answering: Arc<Answering>,
    peer: Peer,
    /// The account that is charged; behind a trusted proxy each request has another one.
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

    /// Whether it carries many clients, of whom one must not harm the others.
    pub fn is_proxied(&self) -> bool {
        self.account.is_none()
    }

    /// The answer to a request over HTTP/1. Stays pending if it is an event stream that hyper need not write: the connection is
    /// then taken from hyper.
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
            request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(Upload::new(body, &self.vitals)) });
        request.extensions_mut().insert(self.peer);
        let may_close = request.version() < Version::HTTP_2;
        let (mut response, expense) = self.answer_within_budget(request).await;
        if self.vitals.unread.load(Relaxed) && may_close {
            // Or the client would send its next request into a connection that ends.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        open.expense = expense;
        response.map(|body| Outgoing::new(body, open))
    }

    /// The answer, or its refusal, and what it occupies if that is charged.
    async fn answer_within_budget(&self, request: Request) -> (Response, Option<Expense>) {
        let forwarded = self.account.is_none().then(|| caller_address(&request, &self.answering.trusted_proxies));
        let expected = expected(&request);
        let mut expense = if may_be_free(expected) && self.vitals.open.load(Relaxed) == 1 {
            Expense::default()
        } else {
            match self.account(forwarded).admit(expected).await {
                Ok(expense) => expense,
                Err(_) => return (refusal(request.headers()), None),
            }
        };
        // A request that changes something has done so by the time of its answer: a refusal would make the client repeat it.
        let is_owed = !request.method().is_safe();
        let Ok(response) = self.answering.front.clone().oneshot(request).await;
        if response.extensions().get::<Handover>().is_some() {
            // Bounded by the number of streams: what a stream has not read is in the shared log.
            return (response, None);
        }
        let actual = occupied(response.body());
        if expense.stays_free(actual) {
            return (response, None);
        }
        match self.account(forwarded).settle(&mut expense, actual, is_owed) {
            Ok(()) => (response, Some(expense)),
            Err(_) => (refusal(response.headers()), None),
        }
    }

    /// The account to charge; `forwarded` is the address of a proxy's client.
    fn account(&self, forwarded: Option<IpAddr>) -> Arc<Account> {
        match (&self.account, forwarded) {
            (Some(account), _) => Arc::clone(account),
            (None, address) => self.answering.budget.account(address.unwrap_or(self.peer.0.ip())),
        }
    }

    /// The refusal of a request with these headers before any handler sees it.
    pub fn refuse(&self, headers: &HeaderMap, status: StatusCode) -> Response<Outgoing> {
        let open = Open::new(Arc::clone(&self.vitals));
        middleware::refuse(&Problem::of_status(status), headers).map(|body| Outgoing::new(body, open))
    }
}

/// There is no room for this request, or for its answer, which has the same id.
fn refusal(headers: &HeaderMap) -> Response {
    middleware::refuse(&Problem::from(ServiceError::Overloaded), headers)
}
