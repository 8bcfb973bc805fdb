//! Server-Sent Events on the wire: encoded once, shared by every connection.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    domain::position::Version,
    repositories::feed::{FeedEvent, FeedEventKind},
};

/// One encoded event. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    /// Length of the leading `id:` line.
    id_len: usize,
}

impl Frame {
    /// An event. `data` must be one line, as JSON is.
    pub fn event(id: Option<&Version>, event: &str, data: &str) -> Self {
        debug_assert!(!data.contains(['\n', '\r']));
        let mut bytes = BytesMut::with_capacity(event.len() + data.len() + 64);
        if let Some(version) = id {
            bytes.put_slice(b"id: ");
            bytes.put_slice(version.to_string().as_bytes());
            bytes.put_u8(b'\n');
        }
        let id_len = bytes.len();
        for part in ["event: ", event, "\ndata: ", data, "\n\n"] {
            bytes.put_slice(part.as_bytes());
        }
        Self { bytes: bytes.freeze(), id_len }
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
                Self::event(Some(&version), "score-updated", &data)
            }
        }
    }

    /// Tells the browser how long to wait before it comes back, in milliseconds.
    pub fn retry(millis: u64) -> Self {
        Self { bytes: Bytes::from(format!("retry: {millis}\n\n")), id_len: 0 }
    }

    /// The event with its `id:` line.
    pub fn with_id(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The event without its `id:` line, for connections whose position means nothing.
    pub fn without_id(&self) -> Bytes {
        self.bytes.slice(self.id_len..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_can_be_shared_with_and_without_its_id() {
        let frame = Frame::event(Some(&Version::new("e", 7)), "score-updated", "{}");
        assert_eq!(frame.with_id(), "id: e-7\nevent: score-updated\ndata: {}\n\n");
        assert_eq!(frame.without_id(), "event: score-updated\ndata: {}\n\n");
        assert_eq!(Frame::event(None, "heartbeat", "{}").with_id(), "event: heartbeat\ndata: {}\n\n");
    }
}
