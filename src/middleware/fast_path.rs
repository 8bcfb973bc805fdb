//! Fast path: serves the cached first page of a public leaderboard, and a user's entry in it, to anonymous callers, bypassing
//! the router.
//!
//! Routing, layers and their boxes cost more than such an answer itself. Requests that are understood completely are answered
//! here by the same parts as in the router (the caller's share of the rate limit, the services' decision who may read, the
//! controllers' functions, the headers of every answer, the same measurement), byte for byte alike. All other requests go to
//! the router.

use std::{pin::Pin, sync::Arc, time::Instant};

use axum::{
    extract::Request,
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use hyper::body::Body as _;
use ipnet::IpNet;
use metrics::{Counter, Histogram};

use crate::{
    controllers::{cached, entries},
    domain::{caller::Caller, leaderboard::Leaderboard},
    http::request_id::RequestId,
    services::{Services, ranking_reader::Source},
};

use super::{
    authentication::caller_address,
    finish, observation, problems,
    rate_limit::{Bucket, RateLimit},
};

/// The routes of the fast path, by their names in the metrics.
const ROUTES: [&str; 3] = ["/api/leaderboard", "/api/leaderboards/{id}/entries", "/api/leaderboards/{id}/entries/{user_id}"];
/// The index of the last of them.
const PLACE: usize = 2;

/// See the module's documentation.
pub struct FastPath {
    services: Arc<Services>,
    limit: RateLimit,
    trusted_proxies: Arc<[IpNet]>,
    /// For each route: answered, and not modified.
    measured: [[Histogram; 2]; 3],
    taken: Counter,
}

/// The content of a request.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    leaderboard: &'a str,
    route: usize,
    what: What<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum What<'a> {
    /// This many of the first entries.
    Top(u64),
    /// A user's entry with this many on each side.
    Place { user_id: &'a str, around: u64 },
}

/// How a request is answered here.
pub enum Answer {
    Now(Response),
    Soon(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl FastPath {
    /// Must be called after the metrics are installed.
    pub fn new(services: Arc<Services>, limit: RateLimit, trusted_proxies: Arc<[IpNet]>) -> Self {
        let measured = ROUTES.map(|route| ["200", "304"].map(|status| observation::histogram("GET", route, status)));
        let taken = metrics::counter!("scoreboard_reads_past_router_total");
        Self { services, limit, trusted_proxies, measured, taken }
    }

    /// The answer, if the fast path serves it.
    pub fn answer(self: &Arc<Self>, request: &Request) -> Option<Answer> {
        let headers = request.headers();
        let known = request.method() == Method::GET
            && request.body().is_end_stream()
            && !headers.contains_key(header::AUTHORIZATION)
            && cached::encoding(headers).is_some()
            // When requests are logged, all of them go through the router, so that the log is complete.
            && !observation::is_logged();
        if !known {
            return None;
        }
        let asked = asked(request.uri(), &self.services.default_leaderboard)?;
        let definitions = self.services.leaderboards.definitions.current();
        let leaderboard = definitions.leaderboard(asked.leaderboard)?;
        let started = Instant::now();
        self.services.leaderboards.check_readable(&Caller::ANONYMOUS, leaderboard, started).ok()?;
        match asked.what {
            What::Top(limit) => {
                let encoded = self.services.tops.cached(leaderboard, limit, started)?;
                self.admit(request)?;
                let response = cached::answer(leaderboard, Source::Copy, &encoded, headers);
                Some(Answer::Now(self.end(asked.route, started, &RequestId::of(headers), response)))
            }
            What::Place { user_id, around } => {
                self.admit(request)?;
                Some(Answer::Soon(self.place(request, leaderboard, user_id, around, started)))
            }
        }
    }

    /// The caller's share of the rate limit. Checked last, because the router would charge a request that goes on to it once
    /// more. Only the router refuses.
    fn admit(&self, request: &Request) -> Option<()> {
        self.limit.admits(&Bucket::Address(caller_address(request, &self.trusted_proxies))).then_some(())
    }

    fn place(
        self: &Arc<Self>,
        request: &Request,
        leaderboard: &Leaderboard,
        user_id: &str,
        around: u64,
        started: Instant,
    ) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        let (fast_path, headers) = (Arc::clone(self), request.headers().clone());
        let (leaderboard, user_id) = (leaderboard.clone(), user_id.to_owned());
        Box::pin(async move {
            let answered = entries::answer_entry(&fast_path.services, &leaderboard, &user_id, around, &headers).await;
            let id = RequestId::of(&headers);
            let response = answered.unwrap_or_else(|problem| problems::finish(&id, problem.into_response()));
            fast_path.end(PLACE, started, &id, response)
        })
    }

    /// Adds what every answer has, and records its measurement.
    fn end(&self, route: usize, started: Instant, id: &RequestId, mut response: Response) -> Response {
        finish(id, &mut response);
        match response.status() {
            StatusCode::OK => self.measured[route][0].record(started.elapsed()),
            StatusCode::NOT_MODIFIED => self.measured[route][1].record(started.elapsed()),
            other => observation::histogram("GET", ROUTES[route], other.as_str()).record(started.elapsed()),
        }
        self.taken.increment(1);
        response
    }
}

/// The request, if path and query have the plainest form. The router parses all other forms.
fn asked<'a>(uri: &'a Uri, default_leaderboard: &'a str) -> Option<Asked<'a>> {
    let path = uri.path();
    let Some(rest) = path.strip_prefix("/api/leaderboards/") else {
        let limit = (path == ROUTES[0]).then(|| number(uri, "limit", 10))??;
        return (1..=1000).contains(&limit).then_some(Asked {
            leaderboard: default_leaderboard,
            route: 0,
            what: What::Top(limit),
        });
    };
    let (leaderboard, rest) = rest.split_once('/')?;
    let (route, what) = match rest.strip_prefix("entries")?.strip_prefix('/') {
        None if rest == "entries" => (1, What::Top(number(uri, "limit", 10).filter(|limit| (1..=1000).contains(limit))?)),
        // `query` has a route of its own.
        Some(user_id) if !user_id.is_empty() && user_id != "query" && !user_id.contains(['/', '%']) => {
            let around = number(uri, "around", 0).filter(|around| entries::AROUND.contains(around))?;
            (PLACE, What::Place { user_id, around })
        }
        _ => return None,
    };
    Some(Asked { leaderboard, route, what })
}

/// The number in a query that has only this parameter.
fn number(uri: &Uri, name: &str, default: u64) -> Option<u64> {
    let Some(query) = uri.query() else { return Some(default) };
    let digits = query.strip_prefix(name)?.strip_prefix('=')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plainest_requests_are_understood() {
        let asked = |uri: &'static str| {
            let uri = Uri::from_static(uri);
            asked(&uri, "main").map(|asked| format!("{} {} {:?}", asked.leaderboard, asked.route, asked.what))
        };
        for (uri, understood) in [
            ("/api/leaderboard", "main 0 Top(10)"),
            ("/api/leaderboards/cup/entries", "cup 1 Top(10)"),
            ("/api/leaderboards/cup/entries?limit=1000", "cup 1 Top(1000)"),
            ("/api/leaderboards/cup/entries/ann", r#"cup 2 Place { user_id: "ann", around: 0 }"#),
            ("/api/leaderboards/cup/entries/ann?around=50", r#"cup 2 Place { user_id: "ann", around: 50 }"#),
        ] {
            assert_eq!(asked(uri).as_deref(), Some(understood), "{uri}");
        }
        for other in [
            "/api/leaderboards/cup/entries?limit=0",
            "/api/leaderboards/cup/entries?limit=1001",
            "/api/leaderboards/cup/entries?limit=%31",
            "/api/leaderboards/cup/entries?limit=+5",
            "/api/leaderboards/cup/entries?limit=",
            "/api/leaderboards/cup/entries?limit=5&fromRank=2",
            "/api/leaderboards/cup/entries?minVersion=a-1",
            "/api/leaderboards/cup/entries/",
            "/api/leaderboards/cup/entries/query",
            "/api/leaderboards/cup/entries/a%6en",
            "/api/leaderboards/cup/entries/ann/more",
            "/api/leaderboards/cup/entries/ann?around=51",
            "/api/leaderboards/cup/entries/ann?limit=5",
            "/api/leaderboards/cup/entriesann",
            "/api/leaderboards/cup",
            "/api/leaderboard/stream",
            "/",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
