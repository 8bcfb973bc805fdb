//! The position of a connection in a shared log.

use crate::domain::{time::Timestamp, version::Version};

use super::frame::Form;

/// The position of one connection.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) generation: u64,
    pub(super) next: u64,
    /// The position to resume after, until it is resolved.
    pub(super) resume: Option<Version>,
    /// Still on frames from before this connection: they may be fetched from the history.
    pub(super) catching_up: bool,
    /// Whether the next snapshot has to say that continuity broke.
    pub(super) reset: bool,
    pub(super) provisional_shown: bool,
    /// Its token grants access while the leaderboard is private.
    pub(super) entitled: bool,
    /// The comparison that decides about the position to resume after: one that began after this connection did.
    pub(super) head_check: Option<u64>,
    pub(super) heartbeat: u64,
    pub(super) limit: usize,
    pub(super) form: Form,
    /// The time of the oldest score in what was read last.
    pub(super) oldest: Option<Timestamp>,
    /// The season that it is bound to: nothing follows its end.
    pub(super) season: Option<i64>,
    /// It has read the end of that season.
    pub(super) over: bool,
}

impl Cursor {
    /// A new connection's cursor. `resume`: the position to resume after; `Some(Err(()))` is one that can only lead to a reset.
    pub(super) fn new(limit: usize, resume: Option<Result<Version, ()>>, ids: bool, entitled: bool) -> Self {
        Self {
            generation: 0,
            next: 0,
            reset: matches!(resume, Some(Err(()))),
            resume: resume.and_then(Result::ok),
            catching_up: false,
            provisional_shown: false,
            entitled,
            head_check: None,
            heartbeat: 0,
            limit,
            form: Form { ids, chunked: false },
            oldest: None,
            season: None,
            over: false,
        }
    }

    /// The same, bound to a season.
    pub(super) fn until_the_end_of(self, season: Option<i64>) -> Self {
        Self { season, ..self }
    }
}
