//! The way past the router for what is asked most: the first entries of a public leaderboard, by whoever shows no token, where they are at hand.
//!
//! The routing, the layers and their boxes cost more than such an answer itself. Requests that are known whole are answered here from the same
//! pieces as in the router (the caller's share of the rate limit, `controllers::cached`, the headers of every answer, the same measurement),
//! and byte for byte alike. Whatever is not known whole, or not at hand, goes to the router.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::Request,
    http::{Method, Uri, header},
    response::Response,
};
use hyper::body::Body as _;
use ipnet::IpNet;
use metrics::{Counter, Histogram};

use crate::{
    controllers::{Services, cached},
    services::rankings::Source,
};

use super::{
    authentication::caller_address,
    finish, observation,
    rate_limit::{Bucket, RateLimit},
    request_id::RequestId,
};

/// The routes that are taken, as the metrics call them.
const ROUTES: [&str; 2] = ["/api/leaderboard", "/api/leaderboards/{id}/entries"];

/// See the module's documentation.
pub struct Shortcut {
    services: Arc<Services>,
    limit: RateLimit,
    trusted_proxies: Arc<[IpNet]>,
    /// For each route: answered, and not modified.
    measured: [[Histogram; 2]; 2],
    taken: Counter,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    leaderboard: &'a str,
    limit: u64,
    route: usize,
}

impl Shortcut {
    /// Once the metrics are installed.
    pub fn new(services: Arc<Services>, limit: RateLimit, trusted_proxies: Arc<[IpNet]>) -> Self {
        let measured = ROUTES.map(|route| ["200", "304"].map(|status| observation::histogram("GET", route, status)));
        let taken = metrics::counter!("scoreboard_reads_past_router_total");
        Self { services, limit, trusted_proxies, measured, taken }
    }

    /// The answer, where there is a way past the router.
    pub fn answer(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let known = request.method() == Method::GET
            && request.body().is_end_stream()
            && !headers.contains_key(header::AUTHORIZATION)
            && cached::encoding(headers).is_some()
            // Whoever reads the log finds every request there.
            && !observation::is_logged();
        if !known {
            return None;
        }
        let asked = asked(request.uri(), &self.services.default_leaderboard)?;
        let definitions = self.services.leaderboards.definitions.current();
        let leaderboard = definitions.leaderboards.get(asked.leaderboard)?;
        let started = Instant::now();
        if !self.services.leaderboards.definitions.is_public(leaderboard, started) {
            return None;
        }
        let encoded = self.services.tops.at_hand(leaderboard, asked.limit, started)?;
        // Last, because the router would charge for the request once more. It is the router that refuses.
        if !self.limit.admits(&Bucket::Address(caller_address(request, &self.trusted_proxies))) {
            return None;
        }
        let mut response = cached::answer(leaderboard, Source::Copy, &encoded, headers);
        finish(&RequestId::of(headers), &mut response);
        self.measured[asked.route][usize::from(!response.status().is_success())].record(started.elapsed());
        self.taken.increment(1);
        Some(response)
    }
}

/// What is asked for, where path and query say so in the plainest way. Any other way is the router's to understand.
fn asked<'a>(uri: &'a Uri, default_leaderboard: &'a str) -> Option<Asked<'a>> {
    let path = uri.path();
    let (leaderboard, route) = match path.strip_prefix("/api/leaderboards/") {
        Some(rest) => (rest.strip_suffix("/entries")?, 1),
        None if path == ROUTES[0] => (default_leaderboard, 0),
        None => return None,
    };
    let limit = match uri.query() {
        None => 10,
        Some(query) => {
            query.strip_prefix("limit=").filter(|limit| limit.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?
        }
    };
    (1..=1000).contains(&limit).then_some(Asked { leaderboard, limit, route })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plainest_requests_are_understood() {
        let asked = |uri: &'static str| {
            let uri = Uri::from_static(uri);
            asked(&uri, "main").map(|asked| (asked.leaderboard.to_owned(), asked.limit, asked.route))
        };
        assert_eq!(asked("/api/leaderboard"), Some(("main".to_owned(), 10, 0)));
        assert_eq!(asked("/api/leaderboards/cup/entries"), Some(("cup".to_owned(), 10, 1)));
        assert_eq!(asked("/api/leaderboards/cup/entries?limit=1000"), Some(("cup".to_owned(), 1000, 1)));
        for other in [
            "/api/leaderboards/cup/entries?limit=0",
            "/api/leaderboards/cup/entries?limit=1001",
            "/api/leaderboards/cup/entries?limit=%31",
            "/api/leaderboards/cup/entries?limit=+5",
            "/api/leaderboards/cup/entries?limit=",
            "/api/leaderboards/cup/entries?limit=5&fromRank=2",
            "/api/leaderboards/cup/entries?minVersion=a-1",
            "/api/leaderboards/cup/entries/",
            "/api/leaderboards/cup/entries/ann",
            "/api/leaderboards/cup",
            "/api/leaderboard/stream",
            "/",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
