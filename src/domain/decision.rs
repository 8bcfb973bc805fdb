//! Decisions of moderators: what one asks for, and what it did.
//!
//! A decision changes which score events count, or who is seen; the rest follows by folding again ([`fold`](super::fold)).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{LeaderboardId, UserId},
    leaderboard::Operator,
    time::Timestamp,
};

/// What a decision asks for. Written to JSON, it is both what the ledger stores and what clients see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Measure {
    /// The user is in no ranking, and nobody is told of the user's scores, which go on.
    Hide { user_id: UserId, leaderboard_id: Option<LeaderboardId>, until: Option<Timestamp> },
    /// The user's scores are refused.
    Ban { user_id: UserId, leaderboard_id: Option<LeaderboardId>, until: Option<Timestamp>, hide: bool },
    /// Score events no longer count.
    Void(Voided),
    /// A score event of its own, whatever the operator.
    Adjust {
        user_id: UserId,
        leaderboard_id: LeaderboardId,
        /// `None`: the current one.
        season: Option<i64>,
        #[serde(flatten)]
        adjustment: Adjustment,
    },
    /// The name is set, and nobody else may change it.
    Rename { user_id: UserId, display_name: Option<String> },
    /// A pseudonym takes the place of the user id, everywhere.
    Erase { user_id: UserId, scores: ErasedScores },
}

/// Which events are voided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Voided {
    Events {
        event_ids: Vec<Uuid>,
    },
    /// Those of a user on a leaderboard, from `from` on and before `to`.
    Range {
        user_id: UserId,
        leaderboard_id: LeaderboardId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    },
}

/// How an adjustment changes the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Adjustment {
    /// Adds to it.
    Points(i64),
    /// Sets it.
    Score(i64),
}

impl Adjustment {
    /// The operator by which its amount changes the score, and the amount.
    pub fn operator(self) -> (Operator, i64) {
        match self {
            Self::Points(points) => (Operator::Sum, points),
            Self::Score(score) => (Operator::Last, score),
        }
    }

    /// The name of its kind in the ledger.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Points(_) => "add",
            Self::Score(_) => "set",
        }
    }

    /// The operator of the kind with this name.
    pub fn operator_of_kind(kind: &str) -> Option<Operator> {
        match kind {
            "add" => Some(Operator::Sum),
            "set" => Some(Operator::Last),
            _ => None,
        }
    }
}

/// What becomes of the scores of a user who is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasedScores {
    /// They stay where they are, under the pseudonym.
    Keep,
    /// They are voided.
    Remove,
}

impl Measure {
    /// The only leaderboard that it concerns; `None` if there may be others.
    pub fn leaderboard(&self) -> Option<&LeaderboardId> {
        match self {
            Self::Hide { leaderboard_id, .. } | Self::Ban { leaderboard_id, .. } => leaderboard_id.as_ref(),
            Self::Void(Voided::Range { leaderboard_id, .. }) | Self::Adjust { leaderboard_id, .. } => Some(leaderboard_id),
            Self::Void(Voided::Events { .. }) | Self::Rename { .. } | Self::Erase { .. } => None,
        }
    }

    /// The name of its type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hide { .. } => "hide",
            Self::Ban { .. } => "ban",
            Self::Void(_) => "void",
            Self::Adjust { .. } => "adjust",
            Self::Rename { .. } => "rename",
            Self::Erase { .. } => "erase",
        }
    }

    /// What it is called in the audit trail.
    pub fn deed(&self) -> &'static str {
        match self {
            Self::Hide { .. } => "decision.hide",
            Self::Ban { .. } => "decision.ban",
            Self::Void(_) => "decision.void",
            Self::Adjust { .. } => "decision.adjust",
            Self::Rename { .. } => "decision.rename",
            Self::Erase { .. } => "decision.erase",
        }
    }

    /// The same about a user who is someone else now, and whose name is gone.
    pub fn of(self, user: &UserId, pseudonym: &UserId) -> Self {
        let mut measure = self;
        if let Self::Rename { user_id, display_name } = &mut measure
            && user_id == user
        {
            *display_name = None;
        }
        match &mut measure {
            Self::Hide { user_id, .. } | Self::Ban { user_id, .. } | Self::Adjust { user_id, .. } if user_id == user => {
                user_id.clone_from(pseudonym);
            }
            Self::Rename { user_id, .. } | Self::Erase { user_id, .. } if user_id == user => user_id.clone_from(pseudonym),
            Self::Void(Voided::Range { user_id, .. }) if user_id == user => user_id.clone_from(pseudonym),
            _ => {}
        }
        measure
    }

    /// The user that it names.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Hide { user_id, .. } | Self::Ban { user_id, .. } | Self::Adjust { user_id, .. } => Some(user_id),
            Self::Rename { user_id, .. } | Self::Erase { user_id, .. } => Some(user_id),
            Self::Void(Voided::Range { user_id, .. }) => Some(user_id),
            Self::Void(Voided::Events { .. }) => None,
        }
    }

    /// When it lapses by itself.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Hide { until, .. } | Self::Ban { until, .. } => *until,
            _ => None,
        }
    }

    /// Whether other score events count after it than before.
    pub fn folds_again(&self) -> bool {
        matches!(self, Self::Void(_) | Self::Erase { .. })
    }

    /// Whether it keeps commits of the user out, or changes how they are settled.
    pub fn sanctions(&self) -> bool {
        matches!(self, Self::Hide { .. } | Self::Ban { .. })
    }
}

/// A decision to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDecision {
    pub id: Uuid,
    pub measure: Measure,
    pub reason: String,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub id: Uuid,
    /// Its place in the list of all.
    pub seq: i64,
    pub measure: Measure,
    pub reason: String,
    /// Whose credential it was.
    pub subject: String,
    pub at: Timestamp,
    /// When it was taken back or lapsed.
    pub ended_at: Option<Timestamp>,
    /// What it changed, or what taking it back changed.
    pub entries: Vec<CorrectedEntry>,
}

impl Decision {
    /// Whether it is in force.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.measure.until().is_none_or(|until| now < until)
    }
}

/// An entry before and after a correction. Whoever is in no ranking has no score here, and what nobody may see has no ranks and no
/// version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectedEntry {
    pub leaderboard_id: LeaderboardId,
    pub season: i64,
    pub user_id: UserId,
    pub previous_score: Option<i64>,
    pub score: Option<i64>,
    pub previous_rank: Option<u64>,
    pub rank: Option<u64>,
    pub version: Option<String>,
}

/// Which decisions a reader asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    pub user_id: Option<UserId>,
    /// The name of a type.
    pub kind: Option<String>,
    pub active: Option<bool>,
    /// Those before this one in the list.
    pub before: Option<i64>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_measure_is_stored_as_it_is_asked_for() {
        let user_id = UserId::parse("ann").unwrap();
        let leaderboard_id = LeaderboardId::parse("main").unwrap();
        let adjustment = Adjustment::Points(-3);
        let adjust = Measure::Adjust { user_id: user_id.clone(), leaderboard_id, season: Some(2), adjustment };
        let expected = json!({ "type": "adjust", "userId": "ann", "leaderboardId": "main", "season": 2, "points": -3 });
        let void = Measure::Void(Voided::Events { event_ids: vec![Uuid::nil()] });
        let nil = "00000000-0000-0000-0000-000000000000";
        for (measure, expected) in [
            (adjust, expected),
            (void, json!({ "type": "void", "eventIds": [nil] })),
            (Measure::Rename { user_id, display_name: None }, json!({ "type": "rename", "userId": "ann", "displayName": null })),
        ] {
            let text = serde_json::to_string(&measure).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Measure>(&text).unwrap(), measure);
        }
    }
}
