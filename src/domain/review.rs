//! Fair play: which submissions are withheld until a moderator has seen them, and what becomes of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{ActionId, LeaderboardId, UserId},
    submission::ScoreEvent,
    time::Timestamp,
};

/// The most submissions of a user that a gain is made of; with more within its time that changed something, the newest count.
pub const GAIN_EVENTS: i64 = 1_000;

/// What makes a submission of an action suspicious. Whatever it may not be at all is refused by the action itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReviewRule {
    /// More points than this.
    pub above: Option<i64>,
    /// Fewer points than this.
    pub below: Option<i64>,
    pub gain: Option<Gain>,
    /// The user is known for less than this; 0: however long.
    pub new_user_seconds: i64,
}

/// More points by this action than `points` in any `per_seconds` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gain {
    pub points: i64,
    pub per_seconds: i64,
}

/// A part of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Suspicion {
    Above,
    Below,
    Gain,
    NewUserSeconds,
}

/// A part of a rule that a submission tripped: its limit, and what was found instead, both in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trip {
    pub rule: Suspicion,
    pub limit: i64,
    pub found: i64,
}

impl ReviewRule {
    /// Whether it suspects nobody.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a submission of these points trips; empty if nothing. `past` are the times and points of the user's accepted
    /// submissions of this action, as far as the gain reaches back. `known_since` is `None` for a user who is new with this one.
    pub fn trips(&self, points: i64, now: Timestamp, past: &[(Timestamp, i64)], known_since: Option<Timestamp>) -> Vec<Trip> {
        let mut trips = Vec::new();
        let mut trip = |rule, limit, found| trips.push(Trip { rule, limit, found });
        if let Some(limit) = self.above.filter(|limit| points > *limit) {
            trip(Suspicion::Above, limit, points);
        }
        if let Some(limit) = self.below.filter(|limit| points < *limit) {
            trip(Suspicion::Below, limit, points);
        }
        if let Some(gain) = self.gain.filter(|_| points > 0) {
            let since = now.plus_seconds(gain.per_seconds.saturating_neg());
            let mut recent: Vec<_> = past.iter().filter(|(at, _)| *at > since).collect();
            recent.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            // The most that it was in any time up to now: a loss is taken off what came before it, and makes no room for what follows.
            let before = recent.iter().rev().fold(0_i64, |sum, (_, points)| sum.saturating_add(*points).max(0));
            let gained = points.saturating_add(before);
            if gained > gain.points {
                trip(Suspicion::Gain, gain.points, gained);
            }
        }
        if self.new_user_seconds > 0 {
            let known = known_since.map_or(0, |since| now.micros_since(since).max(0) / 1_000_000);
            if known < self.new_user_seconds {
                trip(Suspicion::NewUserSeconds, self.new_user_seconds, known);
            }
        }
        trips
    }
}

/// What became of a submission that is reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewState {
    /// Nobody has decided; it is withheld.
    Pending,
    /// It counts.
    Approved,
    /// It is withheld.
    Rejected,
}

impl ReviewState {
    /// The name used in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Rejected].into_iter().find(|state| state.as_str() == name)
    }
}

/// What a moderator says about a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Approve,
    Reject,
}

impl Verdict {
    /// What it makes of the submission.
    pub fn state(self) -> ReviewState {
        match self {
            Self::Approve => ReviewState::Approved,
            Self::Reject => ReviewState::Rejected,
        }
    }

    /// What it is called in the audit trail.
    pub fn deed(self) -> &'static str {
        match self {
            Self::Approve => "review.approve",
            Self::Reject => "review.reject",
        }
    }
}

/// A verdict to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub event_id: Uuid,
    pub verdict: Verdict,
    pub reason: String,
}

/// A review, as the ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub event_id: Uuid,
    pub user_id: UserId,
    pub state: ReviewState,
    /// Never empty.
    pub tripped: Vec<Trip>,
    /// The name that the submission brings; a user who has none gets it when it is approved.
    pub display_name: Option<String>,
    /// The last verdict, if there was one: why, by whose credential, when.
    pub verdict: Option<(String, String, Timestamp)>,
}

/// A review with everything that a moderator decides by.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewCase {
    pub review: Review,
    pub event: ScoreEvent,
    /// The user's newest score events, newest first.
    pub recent: Vec<ScoreEvent>,
    /// One per leaderboard that the event feeds.
    pub would_be: Vec<WouldBe>,
}

/// What an entry would be if an event counted; if it does, what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WouldBe {
    pub leaderboard_id: LeaderboardId,
    pub season: i64,
    /// What it is now; `None` if there is none.
    pub score: Option<i64>,
    pub would_be_score: Option<i64>,
    /// `None` also where nobody sees it, and where too many entries would have to be counted.
    pub would_be_rank: Option<u64>,
}

/// A withheld score of one leaderboard, as its user sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingScore {
    pub event_id: Uuid,
    pub action_id: ActionId,
    pub value: Option<i64>,
    /// What it would give.
    pub points: i64,
    pub at: Timestamp,
}

/// Which reviews a reader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewFilter {
    pub state: ReviewState,
    pub leaderboard: Option<LeaderboardId>,
    /// Those of earlier events than this one.
    pub before: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn tripped(rule: ReviewRule, points: i64, past: &[(i64, i64)], known_since: Option<i64>) -> Vec<(Suspicion, i64)> {
        let past: Vec<_> = past.iter().map(|(second, points)| (at(*second), *points)).collect();
        let trips = rule.trips(points, at(1_000), &past, known_since.map(at));
        trips.into_iter().map(|trip| (trip.rule, trip.found)).collect()
    }

    #[test]
    fn limits_themselves_are_fair() {
        let rule = ReviewRule { above: Some(10), below: Some(-5), ..ReviewRule::default() };
        assert_eq!(tripped(rule, 10, &[], None), []);
        assert_eq!(tripped(rule, -5, &[], None), []);
        assert_eq!(tripped(rule, 11, &[], None), [(Suspicion::Above, 11)]);
        assert_eq!(tripped(rule, -6, &[], None), [(Suspicion::Below, -6)]);
        assert!(ReviewRule::default().is_empty() && !rule.is_empty());
    }

    #[test]
    fn a_gain_slides() {
        let rule = ReviewRule { gain: Some(Gain { points: 100, per_seconds: 60 }), ..ReviewRule::default() };
        assert_eq!(tripped(rule, 40, &[(990, 60), (940, 900)], None), [], "what is as old as its time is over");
        assert_eq!(tripped(rule, 41, &[(990, 60)], None), [(Suspicion::Gain, 101)]);
        assert_eq!(tripped(rule, 41, &[(990, -1), (980, 60)], None), []);
        assert_eq!(tripped(rule, 41, &[(980, -60), (990, 60)], None), [(Suspicion::Gain, 101)], "a loss before makes no room");
        assert_eq!(tripped(rule, -5, &[(990, 101)], None), [], "nor is it a gain");
        assert_eq!(tripped(rule, i64::MAX, &[(990, i64::MAX)], None), [(Suspicion::Gain, i64::MAX)]);
    }

    #[test]
    fn whoever_comes_first_is_new() {
        let rule = ReviewRule { new_user_seconds: 60, ..ReviewRule::default() };
        assert_eq!(tripped(rule, 0, &[], None), [(Suspicion::NewUserSeconds, 0)]);
        assert_eq!(tripped(rule, 0, &[], Some(941)), [(Suspicion::NewUserSeconds, 59)]);
        assert_eq!(tripped(rule, 0, &[], Some(940)), []);
        assert_eq!(tripped(rule, 0, &[], Some(1_001)), [(Suspicion::NewUserSeconds, 0)], "a clock that is behind");
    }
}
