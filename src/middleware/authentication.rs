//! Finds out who is calling: the token's holder, and the client's address behind trusted proxies.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;

use crate::{
    controllers::{Caller, Services, problem::Problem},
    services::error::ServiceError,
};

/// The address at the other end of the connection; put into each request by the server.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What the layer needs.
#[derive(Clone)]
pub struct Authentication {
    pub services: Arc<Services>,
    pub trusted_proxies: Arc<[IpNet]>,
}

/// Puts a [`Caller`] into the request. No token is an anonymous caller; a bad token is refused even where none is needed, because whoever sends
/// one means it.
pub async fn authenticate(State(layer): State<Authentication>, mut request: Request, next: Next) -> Response {
    let principal = match token(&request).map(|token| token.and_then(|token| layer.services.tokens.verify(&token))) {
        Some(Ok(principal)) => Some(principal),
        Some(Err(error)) => return Problem::from(error).into_response(),
        None => None,
    };
    let address = caller_address(&request, &layer.trusted_proxies);
    request.extensions_mut().insert(Caller { principal, address });
    next.run(request).await
}

/// The address that a caller without a token is known by.
pub fn caller_address(request: &Request, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get::<Peer>().map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    network(client_address(peer, request.headers(), trusted_proxies))
}

/// The bearer token; on streams also the parameter `access_token`, because a browser's EventSource cannot set headers.
fn token(request: &Request) -> Option<Result<String, ServiceError>> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim().to_owned());
        return Some(token.ok_or(ServiceError::InvalidToken("the Authorization header is no bearer token")));
    }
    if !request.uri().path().ends_with("/stream") {
        return None;
    }
    let query = request.uri().query().unwrap_or_default();
    let token = url::form_urlencoded::parse(query.as_bytes()).find(|(name, value)| name == "access_token" && !value.is_empty());
    token.map(|(_, token)| Ok(token.into_owned()))
}

/// The client's address: the peer, or, where the peer is a trusted proxy, the rightmost address in `X-Forwarded-For` that is none. What stands left
/// of it was written by somebody we do not trust.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    let forwarded: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in forwarded.iter().rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(&address) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// IPv6 clients own a whole /64: they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &[trusted.parse().unwrap()]).to_string()
    }

    #[test]
    fn a_forged_header_is_ignored() {
        assert_eq!(address("203.0.113.9", &["198.51.100.1"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["198.51.100.1", "203.0.113.9, 10.0.0.2"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["nonsense"], "10.0.0.0/8"), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_client_counts_as_its_64() {
        assert_eq!(network("2001:db8::1:2:3:4".parse().unwrap()).to_string(), "2001:db8::");
    }
}
