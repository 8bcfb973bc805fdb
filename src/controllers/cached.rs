//! Answers that clients and proxies may cache: entity tags, 304, their source, and a compressed form that is made once.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use crate::{
    domain::leaderboard::{Leaderboard, Visibility},
    services::{encoded::Encoded, ranking_reader::Source},
};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Capacity for these headers and those that every answer gets.
const HEADERS: usize = 16;

/// The source of an answer, after RFC 9211.
pub fn cache_status(source: Source) -> (HeaderName, HeaderValue) {
    let status = match source {
        Source::RankingStore("redis") => "redis; hit",
        Source::RankingStore(_) | Source::Copy => "memory; hit",
        Source::Ledger => "ledger; fwd=miss",
        Source::Archive => "archive; hit",
    };
    (CACHE_STATUS, HeaderValue::from_static(status))
}

/// JSON with an entity tag; 304 where the client has it already.
pub fn answer(leaderboard: &Leaderboard, source: Source, encoded: &Encoded, request: &HeaderMap) -> Response {
    let public = leaderboard.settings.visibility == Visibility::Public;
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(if public { "no-cache" } else { "private, no-cache" }));
    let (name, status) = cache_status(source);
    headers.insert(name, status);
    if let Ok(tag) = HeaderValue::from_maybe_shared(encoded.tag.clone()) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, origin"));
    let (status, body) = if has_already(&encoded.tag, request) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else if encoding(request) == Some(Encoding::Gzip) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        (StatusCode::OK, encoded.gzip())
    } else {
        (StatusCode::OK, encoded.json.clone())
    };
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether the client holds the answer that this entity tag is of.
pub fn has_already(tag: &[u8], request: &HeaderMap) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    known.map(<[u8]>::trim_ascii).any(|known| known == b"*" || weak(known) == weak(tag))
}

fn weak(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// A form of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

/// The encoding that a client accepts; `None` if it uses weights, which the compression layer handles.
pub fn encoding(request: &HeaderMap) -> Option<Encoding> {
    let mut accepted = Encoding::Identity;
    for value in request.get_all(header::ACCEPT_ENCODING) {
        for coding in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match coding {
                b"gzip" => accepted = Encoding::Gzip,
                b"identity" | b"deflate" | b"br" | b"zstd" => {}
                _ => return None,
            }
        }
    }
    Some(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &str) -> Option<Encoding> {
        encoding(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]))
    }

    #[test]
    fn weighted_encodings_are_left_to_the_compression_layer() {
        assert_eq!(encoding(&HeaderMap::new()), Some(Encoding::Identity));
        assert_eq!(accepting("gzip, deflate, br, zstd"), Some(Encoding::Gzip));
        assert_eq!(accepting("br,gzip"), Some(Encoding::Gzip));
        assert_eq!(accepting("identity"), Some(Encoding::Identity));
        for weighed in ["gzip;q=0", "*", "identity;q=0", "gzip;q=0.5, br", ""] {
            assert_eq!(accepting(weighed), None, "{weighed}");
        }
    }
}
