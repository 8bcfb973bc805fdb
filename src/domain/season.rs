//! Seasons: the stretches of time between two resets of a leaderboard, each with a ranking of its own.
//!
//! A season contains its first moment and not its last. A *boundary* ends one and begins the next one, which starts empty.

use serde::{Deserialize, Serialize};

use super::{
    event::{self, SeasonEnded, SeasonStarted},
    ids::LeaderboardId,
    leaderboard::{Board, Rules},
    time::Timestamp,
    version::{Version, epoch_name},
};

/// Why a season began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeasonCause {
    /// With its leaderboard.
    Created,
    /// The schedule ended the one before.
    Schedule,
    /// A manager ended the one before.
    Manual,
}

impl SeasonCause {
    /// The name used in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Schedule => "schedule",
            Self::Manual => "manual",
        }
    }
}

/// Whether a season goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SeasonState {
    /// It takes scores.
    Open,
    /// It takes no more, and its result is being prepared.
    Ended,
    /// Its result is known. Only a correction still changes it.
    Final,
}

/// A season as the ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Season {
    pub pk: i64,
    /// 1, 2, 3 …
    pub number: i64,
    pub name: Option<String>,
    pub cause: SeasonCause,
    pub starts_at: Timestamp,
    /// `None` while it is the current one.
    pub ends_at: Option<Timestamp>,
    /// Those of its end; while it is the current one, those of its leaderboard.
    pub rules: Rules,
    /// How many scheduled seasons before it were left out, because nothing ran when they would have been.
    pub skipped: i64,
    /// Counts the corrections since it ended.
    pub corrections: i64,
    pub result: Option<SeasonResult>,
    pub revised_at: Option<Timestamp>,
    /// How many of the corrections the result takes into account.
    pub archived: i64,
    /// Whether some score of it waits for a moderator, where that was asked for.
    pub open_reviews: bool,
}

/// What is known of an ended season once all of it has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeasonResult {
    /// Entries.
    pub total: u64,
    /// SHA-256 of the ranking in hex: for each entry a line of rank, user id, score and time, separated by tabs.
    pub digest: String,
    pub finalized_at: Timestamp,
}

impl Season {
    pub fn board(&self) -> Board {
        Board { pk: self.pk, season: self.number, order: self.rules.order }
    }

    pub fn state(&self) -> SeasonState {
        match (self.ends_at, &self.result) {
            (None, _) => SeasonState::Open,
            (Some(_), None) => SeasonState::Ended,
            (Some(_), Some(_)) => SeasonState::Final,
        }
    }

    /// The state that readers are told: no result is final while a moderator may still change it.
    pub fn told_state(&self) -> SeasonState {
        match self.state() {
            SeasonState::Final if self.open_reviews => SeasonState::Ended,
            state => state,
        }
    }

    /// The number of entries, if it is known: not right after a correction.
    pub fn known_total(&self) -> Option<u64> {
        self.result.as_ref().filter(|_| self.archived == self.corrections).map(|result| result.total)
    }

    /// The version of an ended season: in an epoch of its own, which begins with its end, each correction is one more.
    pub fn archived_version(&self) -> Option<Version> {
        Some(Version::new(epoch_name(self.ends_at?.0), self.corrections.max(0).unsigned_abs()))
    }
}

/// Which season a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeasonChoice {
    Current,
    Previous,
    Number(i64),
}

impl SeasonChoice {
    /// `current`, `previous`, or a number from 1 on.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "current" => Some(Self::Current),
            "previous" => Some(Self::Previous),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|number| *number >= 1).map(Self::Number)
            }
            _ => None,
        }
    }

    /// The number of the season, of a leaderboard whose current one is this; `None` if there is no such season.
    pub fn number(self, current: i64) -> Option<i64> {
        let number = match self {
            Self::Current => current,
            Self::Previous => current - 1,
            Self::Number(number) => number,
        };
        (1..=current).contains(&number).then_some(number)
    }
}

/// Boundaries of one leaderboard, committed together, for its ranking to follow in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The season that ends first.
    pub board: Board,
    pub leaderboard_id: LeaderboardId,
    /// When the season that ends first began.
    pub starts_at: i64,
    /// Never empty.
    pub begun: Vec<Begun>,
}

/// A season that began at a boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    pub season: i64,
    /// When it began and the one before ended.
    pub starts_at: i64,
    /// When the one before ended: the same, unless seasons in between were left out.
    pub ended_at: i64,
    pub next_reset: Option<i64>,
    pub name: Option<String>,
}

/// A boundary, with the events that announce it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// The season that ends.
    pub ended: i64,
    /// The fields of its `season-ended` event.
    pub ended_fields: String,
    /// The fields of the `season-started` event of the next one.
    pub started_fields: String,
}

impl Turn {
    /// The boundaries in their order. `ranked` are the entries of the season that ends first, as JSON: the seasons after it
    /// ended empty.
    pub fn boundaries(&self, total: u64, first_ten: &str, first_hundred: &str) -> Vec<Boundary> {
        let mut started = self.starts_at;
        let boundary = |(index, begun): (usize, &Begun)| {
            let ended = self.board.season + index as i64;
            let known = SeasonEnded {
                leaderboard_id: &self.leaderboard_id,
                season: ended,
                starts_at: Timestamp(started),
                ends_at: Timestamp(begun.ended_at),
                total: if index == 0 { total } else { 0 },
                next: begun.season,
            };
            started = begun.starts_at;
            let (ten, hundred) = if index == 0 { (first_ten, first_hundred) } else { ("[]", "[]") };
            Boundary {
                ended,
                ended_fields: known.fields(ten, hundred),
                started_fields: event::fields(&SeasonStarted {
                    leaderboard_id: &self.leaderboard_id,
                    season: begun.season,
                    starts_at: Timestamp(begun.starts_at),
                    next_reset: begun.next_reset.map(Timestamp),
                    name: begun.name.as_deref(),
                }),
            }
        };
        self.begun.iter().enumerate().map(boundary).collect()
    }

    /// The season that is current afterwards.
    pub fn last(&self) -> i64 {
        self.board.season + self.begun.len() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_is_chosen_by_word_or_number() {
        let chosen = |text| SeasonChoice::parse(text).map(|choice| choice.number(3));
        assert_eq!(chosen("current"), Some(Some(3)));
        assert_eq!(chosen("previous"), Some(Some(2)));
        assert_eq!(chosen("1"), Some(Some(1)));
        assert_eq!(chosen("4"), Some(None));
        assert_eq!(SeasonChoice::Previous.number(1), None);
        for bad in ["", "0", "-1", "+1", "1.0", "last", "99999999999999999999"] {
            assert_eq!(chosen(bad), None, "{bad}");
        }
    }
}
