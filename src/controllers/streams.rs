//! The live streams: `GET /api/leaderboards/{id}/stream`, `/api/leaderboard/stream`, `/api/stream`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::Frame;
use tokio_stream::Stream;

use crate::{
    domain::{caller::Caller, ids::UserId, leaderboard::Leaderboard, season::SeasonChoice, version::Version},
    http::{caller::ClientAddress, problem::Problem},
    services::{
        Services,
        error::ServiceError,
        seasons::Chosen,
        streams::{EventStream, Handover, View, Watched, busy_body},
    },
};

use super::{
    App,
    params::{Params, Segments},
    seasons,
};

/// The most leaderboards in one stream.
const LEADERBOARDS: usize = 32;

/// A stream's bytes as a response body: each piece is one frame, sent as it arrives. Used over HTTP/2; over HTTP/1 the server
/// takes the stream out of the [`Handover`] and writes it itself.
struct EventStreamBody {
    handover: Handover,
    events: Option<EventStream>,
}

impl http_body::Body for EventStreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.events.is_none() {
            self.events = self.handover.take();
        }
        let Some(events) = &mut self.events else { return Poll::Ready(None) };
        // The next piece is requested, so the previous one has been passed on.
        events.written();
        Pin::new(events).poll_next(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// `GET /api/leaderboards/{id}/stream`
pub async fn leaderboard(
    State(services): App,
    caller: Caller,
    address: ClientAddress,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let leaderboard = services.leaderboards.readable(&caller, &id).await?;
    open_one(&services, &caller, address, leaderboard, &headers, params).await
}

/// `GET /api/leaderboard/stream`
pub async fn default_leaderboard(
    State(services): App,
    caller: Caller,
    address: ClientAddress,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let id = &services.default_leaderboard;
    let leaderboard = services.leaderboards.readable(&caller, id).await?;
    open_one(&services, &caller, address, leaderboard, &headers, params).await
}

/// `GET /api/stream?leaderboards=a,b,c`
pub async fn several(
    State(services): App,
    caller: Caller,
    address: ClientAddress,
    mut params: Params,
) -> Result<Response, Problem> {
    let ids: Vec<String> = params.text("leaderboards").unwrap_or_default().split(',').map(str::trim).map(str::to_owned).collect();
    if ids.iter().any(String::is_empty) || ids.len() > LEADERBOARDS {
        params.refuse(
            "leaderboards",
            "length",
            format!("must name between 1 and {LEADERBOARDS} leaderboards, separated by commas"),
        );
    }
    if ids.iter().enumerate().any(|(index, id)| ids[..index].contains(id)) {
        params.refuse("leaderboards", "duplicate", "must name each leaderboard once");
    }
    let view = match params.text("view") {
        Some("top") | None => top(&mut params),
        Some("user") => user(&mut params),
        Some(_) => Err(("view", "must be top or user")),
    };
    let choice = seasons::choice(&mut params);
    let view = finish(params, view)?;
    let (mut watched, mut season) = (Vec::with_capacity(ids.len()), None);
    for id in &ids {
        let leaderboard = services.leaderboards.readable(&caller, id).await?;
        if let Some((leaderboard, bound)) = watchable(&services, leaderboard, choice).await? {
            watched.push((leaderboard, view.clone()));
            season = bound;
        }
    }
    if watched.is_empty() {
        return Ok(over());
    }
    Ok(respond(&services, &caller, address, Watched::Several(watched), season))
}

async fn open_one(
    services: &Services,
    caller: &Caller,
    address: ClientAddress,
    leaderboard: Leaderboard,
    headers: &HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let view = match params.text("view") {
        Some("events") | None => Ok(View::Events { limit: limit(&mut params), resume: resume(headers, &params) }),
        Some("top") => top(&mut params),
        Some("user") => user(&mut params),
        Some(_) => Err(("view", "must be events, top or user")),
    };
    let choice = seasons::choice(&mut params);
    let view = finish(params, view)?;
    let Some((leaderboard, season)) = watchable(services, leaderboard, choice).await? else { return Ok(over()) };
    Ok(respond(services, caller, address, Watched::One(Box::new(leaderboard), view), season))
}

/// The leaderboard, and the season with which the stream ends, if one is asked for by its number; `None` if the season has ended
/// already.
async fn watchable(
    services: &Services,
    leaderboard: Leaderboard,
    choice: SeasonChoice,
) -> Result<Option<(Leaderboard, Option<i64>)>, Problem> {
    let bound = if let SeasonChoice::Number(number) = choice { Some(number) } else { None };
    Ok(match seasons::chosen(services, leaderboard, choice).await? {
        Chosen::Current(leaderboard) => Some((*leaderboard, bound)),
        Chosen::Ended(_) => None,
    })
}

/// Tells EventSource to stop: the season has ended.
fn over() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn limit(params: &mut Params) -> usize {
    params.number("limit", 1..=100, 10)
}

fn hz(params: &mut Params) -> u8 {
    params.number("hz", 1..=20, 5)
}

fn top(params: &mut Params) -> Result<View, (&'static str, &'static str)> {
    Ok(View::Top { limit: limit(params), hz: hz(params), latest: params.number("latest", 0..=50, 0) })
}

fn user(params: &mut Params) -> Result<View, (&'static str, &'static str)> {
    let (around, hz) = (params.number("around", 0..=50, 2), hz(params));
    let user_id = params.text("userId").ok_or(("userId", "this view needs a userId"))?;
    let user_id = UserId::parse(user_id).map_err(|error| ("userId", error.0))?;
    Ok(View::User { user_id, around, hz })
}

fn finish(mut params: Params, view: Result<View, (&'static str, &'static str)>) -> Result<View, ServiceError> {
    let view = view.map_err(|(field, message)| params.refuse(field, "format", message)).ok();
    params.finish()?;
    view.ok_or_else(|| ServiceError::Internal("a refused view has an error".into()))
}

/// The position to resume after. The header takes precedence over the query: a browser that reconnects sends the newest
/// position there, while its URL stays the same.
fn resume(headers: &HeaderMap, params: &Params) -> Option<Result<Version, ()>> {
    let header = headers.get("last-event-id").filter(|value| !value.is_empty());
    let text = match header {
        Some(value) => value.to_str().unwrap_or("?"),
        None => params.last("lastEventId").filter(|text| !text.is_empty())?,
    };
    Some(text.parse().map_err(|_| ()))
}

fn respond(
    services: &Services,
    caller: &Caller,
    ClientAddress(address): ClientAddress,
    watched: Watched,
    season: Option<i64>,
) -> Response {
    let subject = caller.principal().map(|principal| &*principal.subject);
    let admitted = match services.streams.admission.admit(address, subject) {
        Ok(admitted) => admitted,
        Err(refused) => return busy(refused.reason()),
    };
    let handover = Handover::new(services.streams.open(caller, watched, season, admitted));
    let mut response = event_stream(Body::new(EventStreamBody { handover: handover.clone(), events: None }));
    response.extensions_mut().insert(handover);
    response
}

/// Refuses a stream for now. A client that may not watch need not keep a connection either.
pub fn busy(reason: &str) -> Response {
    let mut response = event_stream(Body::from(busy_body(reason)));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn event_stream(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    // By which protocol it came.
    headers.insert("timing-allow-origin", HeaderValue::from_static("*"));
    response
}
