//! Events of a leaderboard, as watchers receive them: their names, their contents, and how they are built.
//!
//! The code that commits a change knows most of its event, and stores these fields with the change ([`fields`]). The ranking
//! gives the event its position, in the same step in which it changes, and the numbers of that position; it does not parse the
//! fields. Data and name are built from both ([`Event::data`], [`EventKind::name`]), once for all watchers.
//!
//! A new event: its kind (also in `ALL`), name, numbers and fields here, and an
//! [`Announcement::Event`](super::announcement::Announcement::Event) from whoever commits it; docs/architecture.md lists the
//! rest. If it moves an entry, it is a change of that entry, and announced as one.

mod about;
mod news;

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use news::News;

use super::{
    entry::Appearance,
    ids::{ActionId, LeaderboardId, UserId},
    time::Timestamp,
    version::Version,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// What an event tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
        }

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$kind,)+];
        }
    };
}

kinds! {
    /// An entry has another score, or is new.
    ScoreUpdated,
    /// An entry is no longer in the ranking.
    ScoreRemoved,
    /// A user has another profile. Moves nobody.
    UserChanged,
    /// A season has ended, and its entries have left the ranking.
    SeasonEnded,
    /// The next season has begun, without entries.
    SeasonStarted,
    /// The definition has changed. Its fields are the new one, a whole JSON object.
    LeaderboardChanged,
    /// The leaderboard is gone: its last event, a whole JSON object.
    LeaderboardDeleted,
}

/// Which numbers of its position an event contains beside its fields. All have `version`, and `since`, the one just before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Nothing else: no entry has moved.
    Version,
    /// Also `rank` and `previousRank` of the entry, and `total`.
    Ranks,
    /// Also `total`, and as `rank` the one that the entry had: it has left.
    FormerRank,
}

impl EventKind {
    /// The name on the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScoreUpdated => "score-updated",
            Self::ScoreRemoved => "score-removed",
            Self::UserChanged => "user-changed",
            Self::SeasonEnded => "season-ended",
            Self::SeasonStarted => "season-started",
            Self::LeaderboardChanged | Self::LeaderboardDeleted => "leaderboard-changed",
        }
    }

    /// `None` if its fields are the whole object.
    fn numbers(self) -> Option<Numbers> {
        Some(match self {
            Self::ScoreUpdated => Numbers::Ranks,
            Self::ScoreRemoved => Numbers::FormerRank,
            Self::UserChanged | Self::SeasonEnded | Self::SeasonStarted => Numbers::Version,
            Self::LeaderboardChanged | Self::LeaderboardDeleted => return None,
        })
    }
}

/// One event at its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub seq: u64,
    pub kind: EventKind,
    /// The user's rank at this very position; 0 if there is none, or if the kind concerns the leaderboard.
    pub rank: u64,
    /// The rank just before; `None` for a newcomer.
    pub previous_rank: Option<u64>,
    /// Entries in the ranking at this position.
    pub total: u64,
    /// What was known at commit: the fields of a JSON object without the braces, or a complete one, depending on the kind.
    pub fields: String,
}

impl Event {
    /// The data on the stream: one JSON object on one line.
    pub fn data(&self, epoch: &Arc<str>) -> Cow<'_, str> {
        let Self { seq, rank, total, .. } = self;
        let fields = self.fields_and_more().0;
        let Some(numbers) = self.kind.numbers() else { return Cow::Borrowed(fields) };
        let (version, since) = (Version::new(Arc::clone(epoch), *seq), Version::new(Arc::clone(epoch), seq - 1));
        let previous_rank = || self.previous_rank.map_or_else(|| "null".to_owned(), |rank| rank.to_string());
        Cow::Owned(match numbers {
            Numbers::Ranks => format!(
                "{{{fields},\"version\":\"{version}\",\"since\":\"{since}\",\"rank\":{rank},\"previousRank\":{},\"total\":{total}}}",
                previous_rank()
            ),
            Numbers::FormerRank => format!(
                "{{{fields},\"version\":\"{version}\",\"since\":\"{since}\",\"rank\":{},\"total\":{total}}}",
                previous_rank()
            ),
            Numbers::Version => {
                format!("{{{fields},\"version\":\"{version}\",\"since\":\"{since}\"}}")
            }
        })
    }

    /// The fields, and what some events have beside them: a `season-ended` its first hundred entries, a JSON array; a
    /// `score-removed` that the user is hidden.
    pub fn fields_and_more(&self) -> (&str, Option<&str>) {
        let parts = match self.kind {
            EventKind::SeasonEnded => self.fields.split_once(MORE),
            EventKind::ScoreRemoved => self.fields.strip_suffix(HIDDEN).map(|fields| (fields, HIDDEN)),
            _ => None,
        };
        parts.map_or((&self.fields, None), |(fields, more)| (fields, Some(more)))
    }

    /// The season that it ends; `None` if it is another event.
    pub fn ended_season(&self) -> Option<i64> {
        let (_, after) = self.fields.split_once("\"season\":").filter(|_| self.kind == EventKind::SeasonEnded)?;
        after.split(',').next()?.parse().ok()
    }

    /// The first and last rank that may look different now; `None` if the ranking looks as before.
    pub fn ranks(&self) -> Option<(u64, u64)> {
        // If a user enters or leaves, everybody below shifts.
        let previous = self.previous_rank.unwrap_or(u64::MAX);
        match self.kind {
            EventKind::ScoreUpdated | EventKind::UserChanged => Some((self.rank.min(previous), self.rank.max(previous))),
            EventKind::ScoreRemoved => Some((self.previous_rank.unwrap_or(0), u64::MAX)),
            EventKind::SeasonEnded => Some((0, u64::MAX)),
            _ => None,
        }
    }

    /// The event in the ledger that it announces; `None` if it announces something else.
    pub fn event_id(&self) -> Option<Uuid> {
        let (_, after) = self.fields.split_once("\"eventId\":\"").filter(|_| self.moves_an_entry())?;
        after.split_once('"')?.0.parse().ok()
    }

    /// When that event was committed.
    pub fn at(&self) -> Option<Timestamp> {
        let (_, after) = self.fields.rsplit_once("\"at\":\"").filter(|_| self.moves_an_entry())?;
        after.split_once('"')?.0.parse().ok()
    }

    fn moves_an_entry(&self) -> bool {
        matches!(self.kind, EventKind::ScoreUpdated | EventKind::ScoreRemoved)
    }
}

/// The fields of a JSON object without the braces, for a ranking to complete.
pub fn fields(known: &impl Serialize) -> String {
    let object = serde_json::to_string(known).expect("plain fields always serialise");
    object[1..object.len() - 1].to_owned()
}

/// The part of a `score-updated` that is known at commit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoreUpdated<'a> {
    pub leaderboard_id: &'a LeaderboardId,
    pub season: i64,
    pub event_id: Uuid,
    pub user_id: &'a UserId,
    pub display_name: &'a str,
    #[serde(flatten)]
    pub appearance: Option<&'a Appearance>,
    /// `None`: a correction.
    pub action_id: Option<&'a ActionId>,
    /// Why the entry was corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    pub delta: i64,
    pub score: i64,
    pub previous_score: Option<i64>,
    pub at: Timestamp,
}

/// Why an entry has another score without a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Scores of it no longer count.
    Void,
    /// They count again.
    Restore,
    /// A score that was withheld counts.
    Approve,
    /// A moderator has changed it.
    Adjust,
    /// It is seen again.
    Unhide,
}

impl Cause {
    /// The name used in events and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Restore => "restore",
            Self::Approve => "approve",
            Self::Adjust => "adjust",
            Self::Unhide => "unhide",
        }
    }

    /// The cause of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Void, Self::Restore, Self::Approve, Self::Adjust, Self::Unhide].into_iter().find(|cause| cause.as_str() == name)
    }
}

/// The part of a `score-removed` that is known at commit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoreRemoved<'a> {
    pub leaderboard_id: &'a LeaderboardId,
    pub season: i64,
    pub event_id: Uuid,
    pub user_id: &'a UserId,
    pub at: Timestamp,
}

/// Separates the fields of a `season-ended` event from what is beside them: JSON contains no such character.
const MORE: char = '\u{1f}';

/// Stands after the fields of a `score-removed` event whose user is hidden. It is a space, so that a release that does not know
/// it passes on the same JSON.
const HIDDEN: &str = " ";

/// The part of a `season-ended` that is known once the ranking has everything that was committed in the season.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeasonEnded<'a> {
    pub leaderboard_id: &'a LeaderboardId,
    pub season: i64,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub total: u64,
    /// The season that follows.
    pub next: i64,
}

impl SeasonEnded<'_> {
    /// The fields of the event, with its first ten entries, a JSON array, and its first hundred beside them: see
    /// [`Event::fields_and_more`].
    pub fn fields(&self, first_ten: &str, first_hundred: &str) -> String {
        format!("{},\"entries\":{first_ten},\"standing\":null{MORE}{first_hundred}", fields(self))
    }

    /// The same for watchers who see something else of the season that has ended: the data of an event without position.
    pub fn without_entries(fields: &str) -> &str {
        fields.find(",\"entries\":").map_or(fields, |end| &fields[..end])
    }
}

/// The part of a `season-started` that is known at commit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeasonStarted<'a> {
    pub leaderboard_id: &'a LeaderboardId,
    pub season: i64,
    pub starts_at: Timestamp,
    pub next_reset: Option<Timestamp>,
    pub name: Option<&'a str>,
}

/// The part of a `user-changed` that is known at commit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserChanged<'a> {
    pub leaderboard_id: &'a LeaderboardId,
    pub season: i64,
    pub user_id: &'a UserId,
    pub display_name: &'a str,
    pub avatar_url: Option<&'a str>,
    pub country: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, fields: &str) -> Event {
        Event { seq: 7, kind, rank: 2, previous_rank: None, total: 9, fields: fields.to_owned() }
    }

    #[test]
    fn data_is_built_from_fields_and_numbers() {
        let data = |event: Event| event.data(&"e".into()).into_owned();
        let numbers = r#""version":"e-7","since":"e-6""#;
        assert_eq!(
            data(event(EventKind::ScoreUpdated, "\"a\":1")),
            format!("{{\"a\":1,{numbers},\"rank\":2,\"previousRank\":null,\"total\":9}}")
        );
        let removed = Event { rank: 0, previous_rank: Some(4), ..event(EventKind::ScoreRemoved, "\"a\":1") };
        assert_eq!(data(removed), format!("{{\"a\":1,{numbers},\"rank\":4,\"total\":9}}"));
        assert_eq!(data(event(EventKind::UserChanged, "\"a\":1")), format!("{{\"a\":1,{numbers}}}"));
        assert_eq!(data(event(EventKind::LeaderboardChanged, "{\"a\":1}")), "{\"a\":1}");
    }

    #[test]
    fn an_event_says_when_it_was_committed() {
        let body = r#""displayName":"\"at\":\"","at":"2026-11-21T10:00:00.000007Z""#;
        let at = event(EventKind::ScoreUpdated, body).at();
        assert_eq!(at.unwrap().to_string(), "2026-11-21T10:00:00.000007Z");
        assert_eq!(event(EventKind::LeaderboardChanged, body).at(), None);
    }

    #[test]
    fn an_entry_that_comes_or_goes_shifts_all_below() {
        let moved = |kind, rank, previous_rank| Event { rank, previous_rank, ..event(kind, "") }.ranks();
        assert_eq!(moved(EventKind::ScoreUpdated, 2, Some(5)), Some((2, 5)));
        assert_eq!(moved(EventKind::ScoreUpdated, 2, None), Some((2, u64::MAX)));
        assert_eq!(moved(EventKind::ScoreRemoved, 0, Some(5)), Some((5, u64::MAX)));
        assert_eq!(moved(EventKind::LeaderboardChanged, 0, None), None);
    }
}
