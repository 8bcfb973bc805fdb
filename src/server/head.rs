//! The head of an HTTP/1 answer that hyper does not write.

use bytes::Bytes;
use hyper::{
    Version,
    http::{header, response},
};

use super::date;

/// Headers that are written separately: where the body ends, what follows it, and the date.
const FRAMING: [header::HeaderName; 4] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::DATE];

/// The head as hyper would write it, of the last answer on its connection. `framing` is the header that says where the body
/// ends; `None` if the end of the connection does.
pub(super) fn write(parts: &response::Parts, version: Version, framing: Option<(&str, &str)>) -> Bytes {
    let (status, minor) = (parts.status, u8::from(version >= Version::HTTP_11));
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.{minor} {} {reason}\r\n", status.as_str()).into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    };
    for (name, value) in parts.headers.iter().filter(|(name, _)| !FRAMING.contains(name)) {
        line(name.as_str(), value.as_bytes());
    }
    line("date", date::now().as_bytes());
    line("connection", b"close");
    if let Some((name, value)) = framing {
        line(name, value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}
