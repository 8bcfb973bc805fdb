//! The least that it takes to read an event stream: chunks taken off, events cut out where they were received, versions and times looked up
//! in them. It is run once for every delivery, beside the server that is measured.

use memchr::{memchr, memmem};

/// Takes the chunked encoding off, however the bytes were cut.
#[derive(Default)]
pub struct Dechunker {
    /// Payload of the present chunk that is still to come.
    left: usize,
    /// Bytes of framing so far that are not decided yet: the end of the last chunk and the size of the next one.
    framing: Vec<u8>,
    pub ended: bool,
}

impl Dechunker {
    /// Hands the payload in `received` to `take`, piece by piece. Answers false where this is no chunked encoding.
    pub fn feed(&mut self, mut received: &[u8], mut take: impl FnMut(&[u8])) -> bool {
        while !received.is_empty() && !self.ended {
            if self.left > 0 {
                let (payload, rest) = received.split_at(self.left.min(received.len()));
                take(payload);
                self.left -= payload.len();
                received = rest;
                continue;
            }
            let Some(end) = memchr(b'\n', received) else {
                self.framing.extend_from_slice(received);
                return self.framing.len() < 32;
            };
            self.framing.extend_from_slice(&received[..end]);
            received = &received[end + 1..];
            let line = self.framing.trim_ascii();
            // An empty line ends the chunk before.
            if !line.is_empty() {
                let size = std::str::from_utf8(line).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
                let Some(size) = size else { return false };
                self.left = size;
                self.ended = size == 0;
            }
            self.framing.clear();
        }
        true
    }
}

/// Cuts a stream into events.
#[derive(Default)]
pub struct Cutter {
    /// The start of an event whose end has not come yet.
    begun: Vec<u8>,
}

impl Cutter {
    /// Hands every event that ends in `payload` to `take`, without the blank line.
    pub fn feed(&mut self, mut payload: &[u8], mut take: impl FnMut(Event<'_>)) {
        while !self.begun.is_empty() && !payload.is_empty() {
            // The blank line may itself be cut in two, so the event is completed up to the next line's end and looked at again.
            let end = memchr(b'\n', payload).map_or(payload.len(), |end| end + 1);
            self.begun.extend_from_slice(&payload[..end]);
            payload = &payload[end..];
            if self.begun.ends_with(b"\n\n") {
                take(Event::parse(&self.begun[..self.begun.len() - 2]));
                self.begun.clear();
            }
        }
        while let Some(end) = memmem::find(payload, b"\n\n") {
            take(Event::parse(&payload[..end]));
            payload = &payload[end + 2..];
        }
        self.begun.extend_from_slice(payload);
    }
}

/// One event, where it was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event<'a> {
    pub id: &'a [u8],
    pub name: &'a [u8],
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let mut event = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data: ") {
                event.data = data;
            } else if let Some(name) = line.strip_prefix(b"event: ") {
                event.name = name;
            } else if let Some(id) = line.strip_prefix(b"id: ") {
                event.id = id;
            }
        }
        event
    }

    /// The sequence number of the version in `id`.
    pub fn sequence(&self) -> Option<u64> {
        sequence(self.id)
    }

    /// The sequence number of the version that this event follows.
    pub fn since(&self) -> Option<u64> {
        let start = memmem::find(self.data, br#""since":""#)? + 9;
        let end = memchr(b'"', &self.data[start..])?;
        sequence(&self.data[start..start + end])
    }

    /// The newest `at` in the data, in microseconds of the day.
    pub fn at(&self) -> Option<u64> {
        memmem::find_iter(self.data, br#""at":""#).filter_map(|start| of_day(&self.data[start + 6..])).max()
    }
}

/// The number behind the last hyphen.
fn sequence(version: &[u8]) -> Option<u64> {
    let digits = version.rsplit(|byte| *byte == b'-').next()?;
    number(digits)
}

/// `2026-11-21T12:34:56.123456Z` as microseconds since midnight.
fn of_day(time: &[u8]) -> Option<u64> {
    let part = |from: usize, to: usize| number(time.get(from..to)?);
    let seconds = part(11, 13)? * 3600 + part(14, 16)? * 60 + part(17, 19)?;
    Some(seconds * 1_000_000 + part(20, 26)?)
}

fn number(digits: &[u8]) -> Option<u64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let (first, rest) = digits.split_first()?;
    rest.iter().try_fold(digit(*first)?, |number, byte| Some(number * 10 + digit(*byte)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"retry: 1000\n\nid: e1-41\nevent: leaderboard\ndata: {\"at\":\"2026-11-21T00:00:01.000002Z\"}\n\nid: e1-42\nevent: \
        score-updated\ndata: {\"since\":\"e1-41\",\"rows\":[{\"at\":\"2026-11-21T12:00:00.000001Z\"},{\"at\":\"2026-11-21T11:00:00.000000Z\"}]}\n\n";

    #[test]
    fn however_it_is_cut_the_same_events_come_out() {
        for cut in 1..40 {
            let mut wire = Vec::new();
            for chunk in STREAM.chunks(cut) {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            for piece in 1..40 {
                let (mut dechunker, mut cutter, mut seen) = (Dechunker::default(), Cutter::default(), Vec::new());
                for piece in wire.chunks(piece) {
                    assert!(dechunker.feed(piece, |payload| {
                        cutter.feed(payload, |event| seen.push((event.sequence(), event.since(), event.at())));
                    }));
                }
                let noon = 12 * 3_600_000_000;
                let expected = [(None, None, None), (Some(41), None, Some(1_000_002)), (Some(42), Some(41), Some(noon + 1))];
                assert_eq!(seen, expected, "chunks of {cut}, pieces of {piece}");
                assert!(dechunker.ended);
            }
        }
    }

    #[test]
    fn what_is_not_chunked_is_told() {
        assert!(!Dechunker::default().feed(b"<html>\r\n", |_| {}));
    }
}
