//! An answer as it is sent: encoded once, for any number of readers.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    sync::OnceLock,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// JSON with its entity tag.
#[derive(Debug)]
pub struct Encoded {
    pub json: Bytes,
    /// Weak, and computed from the content, because a new display name changes a window without changing its version.
    pub tag: Bytes,
    /// Compressed on first use.
    gzip: OnceLock<Bytes>,
}

impl Encoded {
    pub fn new(json: String) -> Self {
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        Self { tag: format!("W/\"{:016x}\"", hasher.finish()).into(), json: json.into(), gzip: OnceLock::new() }
    }

    /// The same JSON, compressed.
    pub fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.json.len() / 2), Compression::default());
            let written = encoder.write_all(&self.json).and_then(|()| encoder.finish());
            written.expect("writing to memory cannot fail").into()
        };
        self.gzip.get_or_init(compress).clone()
    }
}
