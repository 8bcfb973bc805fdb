//! Identifies the caller: the token's holder, and the client's address behind trusted proxies.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;

use crate::{
    domain::caller::{Caller, Principal},
    http::{caller::ClientAddress, problem::Problem, site::Secure},
    services::{Services, credentials::Credentials, error::ServiceError},
};

/// The address at the other end of the connection; the server puts it into each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The state of the layer.
#[derive(Clone)]
pub struct Authentication {
    pub services: Arc<Services>,
    pub trusted_proxies: Arc<[IpNet]>,
    /// Whether this server speaks TLS itself.
    pub tls: bool,
}

/// The routes whose `GET` takes a token from the query, and that decide themselves how to treat a token that is not accepted.
const STREAMS: [&str; 3] = ["/api/leaderboards/{id}/stream", "/api/leaderboard/stream", "/api/stream"];

/// Puts a [`Caller`] into the request. A request without a token has an anonymous caller; a bad token is refused even where
/// none is needed, because its sender relies on it. Only streams accept a bad one, as anonymous: a browser's EventSource gives
/// up permanently on a 401, and public data needs no token.
pub async fn authenticate(State(layer): State<Authentication>, mut request: Request, next: Next) -> Response {
    let (streams, credentials) = (is_stream(&request), &layer.services.credentials);
    let shown = token(&request, streams).and_then(|shown| Shown::of(shown, credentials));
    let caller = match Shown::holder(shown, credentials, changes_by_hand(&request)).await {
        Ok(Some(principal)) => Caller::Principal(principal, None),
        Ok(None) => Caller::ANONYMOUS,
        Err(ServiceError::InvalidToken(why)) if streams => Caller::Anonymous { refused: Some(why) },
        Err(error) => return Problem::from(error).into_response(),
    };
    let address = ClientAddress(caller_address(&request, &layer.trusted_proxies));
    request.extensions_mut().insert(caller);
    let secure = Secure(layer.tls || came_over_tls(&request, &layer.trusted_proxies));
    request.extensions_mut().insert(address);
    request.extensions_mut().insert(secure);
    next.run(request).await
}

/// What a request shows of who sends it. Owned, because a request cannot be referred to while the ledger is asked.
enum Shown {
    Nothing,
    Known(Arc<Principal>),
    Unknown(String),
}

impl Shown {
    fn of(token: Option<Cow<'_, str>>, credentials: &Credentials) -> Result<Self, ServiceError> {
        let Some(token) = token else { return Ok(Self::Nothing) };
        Ok(credentials.known(&token)?.map_or_else(|| Self::Unknown(token.into_owned()), Self::Known))
    }

    /// Whoever it is; for a change by hand, confirmed by the ledger where a credential may have ended since.
    async fn holder(
        shown: Result<Self, ServiceError>,
        credentials: &Credentials,
        confirmed: bool,
    ) -> Result<Option<Arc<Principal>>, ServiceError> {
        let principal = match shown? {
            Self::Nothing => return Ok(None),
            Self::Known(principal) => principal,
            Self::Unknown(token) => credentials.look_up(&token).await?,
        };
        Ok(Some(if confirmed { credentials.confirm(principal).await? } else { principal }))
    }
}

/// Whether the request may change something that is no score: a commit of scores confirms credentials by itself.
fn changes_by_hand(request: &Request) -> bool {
    !request.method().is_safe() && !request.uri().path().starts_with("/api/scores")
}

/// Whether a trusted proxy says that the client spoke TLS. Of several values the last one is that proxy's own.
fn came_over_tls(request: &Request, trusted_proxies: &[IpNet]) -> bool {
    let proxy = request.extensions().get::<Peer>().is_some_and(|peer| is_trusted(peer.0.ip(), trusted_proxies));
    let told = request.headers().get_all("x-forwarded-proto").iter().next_back().and_then(|value| value.to_str().ok());
    proxy && told.and_then(|told| told.rsplit(',').next()).is_some_and(|last| last.trim().eq_ignore_ascii_case("https"))
}

fn is_stream(request: &Request) -> bool {
    request.method() == Method::GET
        && request.extensions().get::<MatchedPath>().is_some_and(|path| STREAMS.contains(&path.as_str()))
}

/// The address that identifies a caller without a token.
pub fn caller_address(request: &Request, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get::<Peer>().map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    network(client_address(peer, request.headers(), trusted_proxies))
}

/// The token, if there is one; on streams also from the parameter `access_token`, because a browser's EventSource cannot set
/// headers.
fn token(request: &Request, streams: bool) -> Result<Option<Cow<'_, str>>, ServiceError> {
    let bearer = bearer(request.headers())?.map(Cow::Borrowed);
    if bearer.is_some() || !streams {
        return Ok(bearer);
    }
    Ok(token_in_query(request.uri()))
}

/// The parameter `access_token`.
pub(super) fn token_in_query(uri: &Uri) -> Option<Cow<'_, str>> {
    let mut query = url::form_urlencoded::parse(uri.query()?.as_bytes());
    query.find(|(name, value)| name == "access_token" && !value.is_empty()).map(|(_, token)| token)
}

/// The token in `Authorization: Bearer …`. Credentials of another scheme are for another recipient, such as a proxy in front.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ServiceError> {
    let mut found = None;
    for value in headers.get_all(header::AUTHORIZATION) {
        let (scheme, token) = value.as_bytes().split_at(value.as_bytes().iter().position(|&b| b == b' ').unwrap_or(value.len()));
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            continue;
        }
        let token = std::str::from_utf8(token).map(str::trim).ok().filter(|token| !token.is_empty());
        let token = token.ok_or(ServiceError::InvalidToken("the header Authorization holds no token after Bearer".into()))?;
        if found.replace(token).is_some() {
            return Err(ServiceError::InvalidToken("the header Authorization holds more than one token".into()));
        }
    }
    Ok(found)
}

/// The client's address: the peer, or, if the peer is a trusted proxy, the rightmost address in `X-Forwarded-For` that is not a
/// trusted proxy. Addresses to the left of it were written by untrusted parties.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    // A value that is not text ends the chain like any other invalid one.
    let forwarded: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("?")).collect();
    let hops = forwarded.iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim).filter(|hop| !hop.is_empty());
    for hop in hops {
        if !is_trusted(address, trusted) {
            break;
        }
        match forwarded_address(hop) {
            Some(hop) => address = hop.to_canonical(),
            None => break,
        }
    }
    address
}

/// A hop as proxies write it: an address, perhaps with its port, IPv6 then in brackets.
fn forwarded_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches('"');
    if let Ok(address) = hop.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some((address, rest)) = hop.strip_prefix('[').and_then(|hop| hop.split_once(']')) {
        let port = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        // A zone has a meaning only on the proxy.
        let address = address.split('%').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().ok().filter(|_| port).map(IpAddr::V6);
    }
    hop.parse::<SocketAddrV4>().ok().map(|address| IpAddr::V4(*address.ip()))
}

/// Whether this is a trusted proxy, whose statements about its clients are accepted.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// IPv6 clients own a whole /64: they count as one.
pub fn network(address: IpAddr) -> IpAddr {
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
    fn a_hop_may_have_a_port_and_brackets() {
        for (hop, expected) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db8::1]:50", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("\"[2001:db8::1]:50\"", "2001:db8::1"),
            ("[fe80::1%eth0]:50", "fe80::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:50", "198.51.100.1"),
            ("203.0.113.9:1, 198.51.100.1:4711 , ,", "198.51.100.1"),
            ("203.0.113.9:1, 10.0.0.2:99", "203.0.113.9"),
        ] {
            assert_eq!(address("10.0.0.1", &[hop], "10.0.0.0/8"), expected, "{hop}");
        }
        for nonsense in ["unknown", "_hidden", "198.51.100.1:x", "[2001:db8::1]x", "[198.51.100.1]:5", "198.51.100.1:99999", "é"]
        {
            assert_eq!(address("10.0.0.1", &["203.0.113.9", nonsense], "10.0.0.0/8"), "10.0.0.1", "{nonsense}");
        }
    }

    #[test]
    fn credentials_of_another_scheme_are_ignored() {
        let bearer_of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(|token| token.map(str::to_owned)).map_err(|error| error.to_string())
        };
        for none in [&[][..], &["Basic Z2FtZTpzZWNyZXQ="], &["token"], &["Bearerx y"], &["Digest a=\"b\""], &[""]] {
            assert_eq!(bearer_of(none), Ok(None), "{none:?}");
        }
        for one in [&["Bearer a.b.c"][..], &["bearer  a.b.c "], &["Basic x", "BEARER a.b.c"]] {
            assert_eq!(bearer_of(one), Ok(Some("a.b.c".to_owned())), "{one:?}");
        }
        for refused in [&["Bearer"][..], &["Bearer "], &["Bearer a.b.c", "Bearer a.b.c"]] {
            assert!(bearer_of(refused).unwrap_err().contains("Authorization"), "{refused:?}");
        }
    }

    #[test]
    fn an_ipv6_client_counts_as_its_64() {
        assert_eq!(network("2001:db8::1:2:3:4".parse().unwrap()).to_string(), "2001:db8::");
    }
}
