//! What an event means to the newest scores of its leaderboard.

use super::{Cause, Event, EventKind};

/// What an event means to a list of the newest scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// One more.
    Score,
    /// Some of them may count no longer, or again.
    Corrected,
    /// Some of them may be of a user who looks different now.
    User,
}

impl Event {
    /// What it adds to the newest scores of a leaderboard.
    pub fn news(&self) -> Option<News> {
        let corrected = |cause: &str| !cause.starts_with(Cause::Adjust.as_str());
        match self.kind {
            EventKind::ScoreUpdated if self.fields.split_once("\"cause\":\"").is_some_and(|(_, cause)| corrected(cause)) => {
                Some(News::Corrected)
            }
            EventKind::ScoreUpdated => Some(News::Score),
            EventKind::ScoreRemoved => Some(News::Corrected),
            EventKind::UserChanged => Some(News::User),
            _ => None,
        }
    }
}
