//! Server-Sent Events on the wire: encoded once, shared by every connection.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        event::{Event, EventKind},
        ids::LeaderboardId,
        leaderboard::Visibility,
        time::Timestamp,
        version::Version,
    },
    services::views,
};

/// Why the server ends a stream that the same request would not restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// The token that admitted the connection has expired.
    TokenExpired,
    /// The leaderboard was made private, and the connection has no right to read it.
    Private,
    /// The leaderboard was deleted.
    Deleted,
    /// The season that the connection asked for has ended.
    Ended,
}

/// What a definition in an event says about who may read.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    pub visibility: Visibility,
    pub updated_at: Timestamp,
}

impl Described {
    /// `None` if it cannot be parsed.
    pub fn read(definition: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Definition<'a> {
            visibility: Visibility,
            updated_at: &'a str,
        }
        let Definition { visibility, updated_at } = serde_json::from_str(definition).ok()?;
        Some(Self { visibility, updated_at: updated_at.parse().ok()? })
    }
}

/// The form of a connection's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// With their `id:` lines. Left out for connections whose position has no meaning.
    pub ids: bool,
    /// Each as a chunk of an HTTP/1.1 body.
    pub chunked: bool,
}

/// One encoded event. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The chunk's size line, the event, and the chunk's end, so that the form most connections need is ready to send.
    bytes: Bytes,
    /// Length of the size line.
    head: usize,
    /// Length of the leading `id:` line.
    id: usize,
    /// When the score in the event was committed, if it reports one.
    pub at: Option<Timestamp>,
    /// It shows the definition of a private leaderboard, which no one else may see, even later.
    pub private: bool,
    /// The season whose end it is.
    pub ends: Option<i64>,
    /// Whom it is about: a hash of the user id.
    pub about: Option<u64>,
    /// From here on this user is hidden.
    pub hides: bool,
}

/// Makes the hashes of user ids, the same ones for the life of the process.
static ABOUT: LazyLock<RandomState> = LazyLock::new(RandomState::new);

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
        Self { bytes: bytes.freeze(), head: size.len(), id, at: None, private: false, ends: None, about: None, hides: false }
    }

    /// A change in the form in which watchers receive it.
    pub fn of(epoch: &Arc<str>, event: &Event) -> Self {
        let version = Version::new(Arc::clone(epoch), event.seq);
        let frame = Self::event(Some(&version), event.kind.name(), &event.data(epoch));
        let shown_to_all =
            |definition| Described::read(definition).is_some_and(|described| described.visibility == Visibility::Public);
        let private = event.kind == EventKind::LeaderboardChanged && !shown_to_all(&event.fields);
        let about = event.user().map(|user| ABOUT.hash_one(user));
        Self { at: event.at(), private, ends: event.ended_season(), about, hides: event.hides(), ..frame }
    }

    /// Why the server ends the stream, or one leaderboard's part of it if others go on.
    pub fn closed(reason: Closed, share_of: Option<&LeaderboardId>) -> Self {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            reason: Closed,
            #[serde(skip_serializing_if = "Option::is_none")]
            leaderboard_id: Option<&'a LeaderboardId>,
        }
        Self::event(None, "closed", &views::json(&Data { reason, leaderboard_id: share_of }))
    }

    /// This event, and in the same block how long the client shall wait before it reconnects: a block of its own would look
    /// like an empty message to many client libraries.
    pub fn with_retry(&self, millis: u64) -> Self {
        let end = self.bytes.len() - CHUNK_END.len() - "\n".len();
        let event = std::str::from_utf8(&self.bytes[self.head..end]).expect("made of text");
        Self::encode(self.id, &[event, "retry: ", &millis.to_string(), "\n\n"])
    }

    /// The bytes to send. Only chunks without their id have to be encoded again.
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

/// Inserts how long the client shall wait before it reconnects into the first block of these frames.
pub fn retry_before(millis: u64, frames: &Bytes, form: Form) -> Bytes {
    let line = format!("retry: {millis}\n");
    let mut bytes = BytesMut::with_capacity(line.len() + frames.len() + CHUNK_END.len());
    let mut rest = &frames[..];
    if form.chunked {
        // Into the same chunk: a block that arrives in one piece suits even the most careless client.
        let head = frames.windows(CHUNK_END.len()).position(|end| end == CHUNK_END).expect("a chunk has a size line");
        let size = std::str::from_utf8(&frames[..head]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        bytes.put_slice(format!("{:x}\r\n", size.expect("a size in hex") + line.len()).as_bytes());
        rest = &frames[head + CHUNK_END.len()..];
    }
    bytes.put_slice(line.as_bytes());
    bytes.put_slice(rest);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_encoded_in_every_form() {
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

    #[test]
    fn the_retry_time_is_part_of_an_events_block() {
        let form = |ids, chunked| Form { ids, chunked };
        let last = Frame::event(Some(&Version::new("e", 7)), "heartbeat", "{}").with_retry(900);
        assert_eq!(last.encoded(form(true, false)), "id: e-7\nevent: heartbeat\ndata: {}\nretry: 900\n\n");
        assert_eq!(last.encoded(form(false, false)), "event: heartbeat\ndata: {}\nretry: 900\n\n");
        let frames = Bytes::from_static(b"event: heartbeat\ndata: {}\n\n");
        assert_eq!(retry_before(1500, &frames, form(true, false)), "retry: 1500\nevent: heartbeat\ndata: {}\n\n");
        let chunk = Bytes::from_static(b"1b\r\nevent: heartbeat\ndata: {}\n\n\r\n");
        let with_retry = retry_before(1500, &chunk, form(true, true));
        assert_eq!(with_retry, "27\r\nretry: 1500\nevent: heartbeat\ndata: {}\n\n\r\n");
    }

    #[test]
    fn a_closed_stream_gives_the_reason() {
        let form = Form { ids: true, chunked: false };
        let closed = |share_of| Frame::closed(Closed::TokenExpired, share_of).encoded(form);
        assert_eq!(closed(None), "event: closed\ndata: {\"reason\":\"token-expired\"}\n\n");
        let board = LeaderboardId::parse("cup").unwrap();
        assert_eq!(closed(Some(&board)), "event: closed\ndata: {\"reason\":\"token-expired\",\"leaderboardId\":\"cup\"}\n\n");
    }

    #[test]
    fn an_unreadable_definition_is_shown_to_nobody() {
        let frame = |body: &str| {
            let (kind, fields) = (EventKind::LeaderboardChanged, body.to_owned());
            Frame::of(&"e".into(), &Event { seq: 1, kind, rank: 0, previous_rank: None, total: 0, fields })
        };
        let described = |visibility| format!("{{\"visibility\":\"{visibility}\",\"updatedAt\":\"2026-11-21T10:00:00.000007Z\"}}");
        assert!(!frame(&described("public")).private);
        assert!(frame(&described("private")).private && frame(&described("secret")).private && frame("{}").private);
    }
}
