//! Server-Sent Events on the wire: encoded once, shared by every connection.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    domain::{position::Version, time::Timestamp},
    repositories::feed::{FeedEvent, FeedEventKind},
};

/// How a connection wants its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// With their `id:` lines. Left out for connections whose position means nothing.
    pub ids: bool,
    /// Each as a chunk of an HTTP/1.1 body.
    pub chunked: bool,
}

/// One encoded event. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The chunk's size line, the event, and the chunk's end, so that the form most connections want is there as it is.
    bytes: Bytes,
    /// Length of the size line.
    head: usize,
    /// Length of the leading `id:` line.
    id: usize,
    /// When the score that it tells of was committed, where it tells of one.
    pub at: Option<Timestamp>,
}

/// The end of a chunk.
const CHUNK_END: &[u8] = b"\r\n";

impl Frame {
    /// An event. `data` must be one line, as JSON is.
    pub fn event(id: Option<&Version>, event: &str, data: &str) -> Self {
        debug_assert!(!data.contains(['\n', '\r']));
        let id = id.map_or_else(String::new, |version| format!("id: {version}\n"));
        Self::encode(id.len(), &[&id, "event: ", event, "\ndata: ", data, "\n\n"])
    }

    fn encode(id: usize, parts: &[&str]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let size = format!("{length:x}\r\n");
        let mut bytes = BytesMut::with_capacity(size.len() + length + CHUNK_END.len());
        bytes.put_slice(size.as_bytes());
        parts.iter().for_each(|part| bytes.put_slice(part.as_bytes()));
        bytes.put_slice(CHUNK_END);
        Self { bytes: bytes.freeze(), head: size.len(), id, at: None }
    }

    /// A change as watchers are told of it.
    pub fn of(epoch: &Arc<str>, event: &FeedEvent) -> Self {
        let version = Version::new(Arc::clone(epoch), event.seq);
        match event.kind {
            FeedEventKind::Definition | FeedEventKind::Deleted => Self::event(Some(&version), "leaderboard-changed", &event.body),
            FeedEventKind::Score => {
                let since = Version::new(Arc::clone(epoch), event.seq - 1);
                let previous_rank = event.previous_rank.map_or_else(|| "null".to_owned(), |rank| rank.to_string());
                let data = format!(
                    "{{{},\"version\":\"{version}\",\"since\":\"{since}\",\"rank\":{},\"previousRank\":{previous_rank},\"total\":{}}}",
                    event.body, event.rank, event.total
                );
                Self { at: event.at(), ..Self::event(Some(&version), "score-updated", &data) }
            }
        }
    }

    /// Tells the browser how long to wait before it comes back, in milliseconds.
    pub fn retry(millis: u64) -> Self {
        Self::encode(0, &["retry: ", &millis.to_string(), "\n\n"])
    }

    /// The bytes to send. Only chunks without their id have to be made anew.
    pub fn encoded(&self, form: Form) -> Bytes {
        let end = self.bytes.len() - CHUNK_END.len();
        match form {
            Form { chunked: true, ids } if ids || self.id == 0 => self.bytes.clone(),
            Form { chunked: true, .. } => {
                let event = std::str::from_utf8(&self.bytes[self.head + self.id..end]).expect("made of text");
                Self::encode(0, &[event]).bytes
            }
            Form { ids: true, .. } => self.bytes.slice(self.head..end),
            Form { .. } => self.bytes.slice(self.head + self.id..end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_in_every_form() {
        let frame = Frame::event(Some(&Version::new("e", 7)), "score-updated", "{}");
        let form = |ids, chunked| Form { ids, chunked };
        assert_eq!(frame.encoded(form(true, false)), "id: e-7\nevent: score-updated\ndata: {}\n\n");
        assert_eq!(frame.encoded(form(false, false)), "event: score-updated\ndata: {}\n\n");
        assert_eq!(frame.encoded(form(true, true)), "27\r\nid: e-7\nevent: score-updated\ndata: {}\n\n\r\n");
        assert_eq!(frame.encoded(form(false, true)), "1f\r\nevent: score-updated\ndata: {}\n\n\r\n");
        let heartbeat = Frame::event(None, "heartbeat", "{}");
        assert_eq!(heartbeat.encoded(form(true, false)), "event: heartbeat\ndata: {}\n\n");
        assert_eq!(heartbeat.encoded(form(false, true)), heartbeat.encoded(form(true, true)));
    }
}
