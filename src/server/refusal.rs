//! HTTP/1 refusals that no handler makes: they are problem documents like all others.
//!
//! hyper answers requests that it cannot parse by itself, with a bare status. `link.rs` checks here whether hyper is writing
//! such an answer, and sends a complete one instead.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    StatusCode, Version,
    http::{HeaderMap, header::HeaderValue},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use crate::{http::problem::Problem, middleware};

use super::head;

/// The longest answer that hyper makes by itself.
const BARE: usize = 256;
/// How much a refused client may still be sending, and for how long, until the connection is closed: an early reset would
/// discard the answer.
const LEFT_OVER: usize = 256 * 1024;
const FAREWELL: Duration = Duration::from_secs(2);

/// A complete answer, after which the connection ends.
pub(super) fn answer(problem: &Problem) -> Bytes {
    let response = middleware::refuse(problem, &HeaderMap::new());
    let id = response.headers().get("x-request-id").and_then(|id| HeaderValue::to_str(id).ok());
    let body = problem.document(id.unwrap_or_default());
    let (parts, _) = response.into_parts();
    let head = head::write(&parts, Version::HTTP_11, Some(("content-length", &body.len().to_string())));
    [&head[..], body.as_bytes()].concat().into()
}

/// The offset in these bytes, which end a write, at which an answer made by hyper begins, and its status. Our own answers have
/// an id.
pub(super) fn bare(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    let end = bytes.strip_suffix(b"\r\n\r\n")?;
    let tail = end.len().saturating_sub(BARE);
    let start = tail + end[tail..].windows(10).rposition(|window| window == b"HTTP/1.1 4")?;
    let head = std::str::from_utf8(&end[start..]).ok()?;
    let is_bare = head.contains("\r\ncontent-length: 0") && !head.contains("\r\nx-request-id: ") && !head.contains("\r\n\r\n");
    Some((start, StatusCode::from_bytes(end.get(start + 9..start + 12)?).ok()?)).filter(|_| is_bare)
}

/// Lets a refused client see the reason, though it may still be sending.
pub(super) async fn part_from<IO: AsyncRead + Unpin>(mut io: IO) {
    let mut scratch = [0; 1024];
    let mut left_over = LEFT_OVER;
    let reading = async {
        while left_over > 0
            && let Ok(read @ 1..) = io.read(&mut scratch).await
        {
            left_over = left_over.saturating_sub(read);
        }
    };
    timeout(FAREWELL, reading).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_own_answers_are_bare() {
        let bare_answer = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
            date: Thu, 26 Nov 2026 14:00:00 GMT\r\n\r\n";
        assert_eq!(bare(bare_answer), Some((0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
        let ours = b"HTTP/1.1 404 Not Found\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(bare(ours), None);
        assert_eq!(bare(&[&ours[..], bare_answer].concat()), Some((ours.len(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
        for other in [&b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n"[..], b"", b"\r\n\r\n", b"HTTP/1.1 4\r\n\r\n"] {
            assert_eq!(bare(other), None);
        }
    }

    #[test]
    fn an_answer_is_complete() {
        let answer = answer(&Problem::of_status(StatusCode::URI_TOO_LONG));
        let text = std::str::from_utf8(&answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 414 URI Too Long\r\n") && head.contains(&format!("content-length: {}", body.len())));
        let id = head.split_once("x-request-id: ").unwrap().1.split_once("\r\n").unwrap().0;
        assert!(body.contains(&format!("\"requestId\":\"{id}\"")), "{text}");
    }
}
