//! Entries: a user's score and rank in one season of one leaderboard, and the windows read from a ranking.

use std::{cmp::Ordering, sync::Arc};

use serde::Serialize;

use super::{ids::UserId, time::Timestamp, version::Version};

/// What decides a rank: better score first, then the user who reached it first, then the user id bytewise. Compares in ranking
/// order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankKey {
    /// See [`Order::sort_score`](super::leaderboard::Order::sort_score).
    pub sort_score: i64,
    pub reached_at: Timestamp,
    pub user_id: UserId,
}

impl Ord for RankKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.sort_score, self.reached_at)
            .cmp(&(other.sort_score, other.reached_at))
            .then_with(|| self.user_id.as_str().as_bytes().cmp(other.user_id.as_str().as_bytes()))
    }
}

impl PartialOrd for RankKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The sort score of an entry that was removed from its ranking: no score has it, and it comes after all that do.
pub const TAKEN_OUT: i64 = i64::MAX;

/// A row of a ranking as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RankedEntry {
    /// 1 for the best.
    pub rank: u64,
    pub user_id: UserId,
    /// The user's display name, or the user id if none is set.
    pub display_name: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Arc<str>>,
    pub score: i64,
    pub at: Timestamp,
}

impl RankedEntry {
    /// The row of a user of whom this is known, if anything is.
    pub fn new(rank: u64, user_id: UserId, shown: Option<&DisplayName>, score: i64, at: Timestamp) -> Self {
        let display_name = shown.and_then(|shown| shown.name.as_deref()).unwrap_or(user_id.as_str()).into();
        let Appearance { avatar_url, country } = shown.and_then(|shown| shown.appearance.as_deref()).cloned().unwrap_or_default();
        Self { rank, user_id, display_name, avatar_url, country, score, at }
    }
}

/// What every answer from a ranking says about its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub season: i64,
    /// `None` if the answer comes from the ledger while the ranking is unreachable.
    pub version: Option<Version>,
    pub total: u64,
}

/// An entry that is in no ranking because its user is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenEntry {
    pub user_id: UserId,
    /// What everybody would see, if anything is known.
    pub shown: Option<DisplayName>,
    pub score: i64,
    pub at: Timestamp,
}

/// Consecutive ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub head: Head,
    pub entries: Vec<RankedEntry>,
}

/// One user's entry and the entries around it, including the user's own, best first; empty if the user has no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbourhood {
    pub user_id: UserId,
    pub entry: Option<RankedEntry>,
    pub around: Vec<RankedEntry>,
}

/// An entry as it is loaded into an empty ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub user_id: UserId,
    /// `None` if it was removed from the ranking, which remembers its revision.
    pub score: Option<i64>,
    pub reached_at: Timestamp,
    /// Counts the changes of this entry: 1, 2, 3 … without gaps.
    pub revision: i64,
    pub name: DisplayName,
}

/// What rows show of a user, with the revision of the user that it belongs to: a ranking ignores an older one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, Serialize)]
pub struct DisplayName {
    pub name: Option<String>,
    pub revision: i64,
    /// Few users have more than a name, and each in memory pays for this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<Arc<Appearance>>,
}

impl DisplayName {
    /// What is shown of a user of whom nothing is known.
    pub const NONE: Self = Self { name: None, revision: 0, appearance: None };
}

/// What rows show of a user beside the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Appearance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<Arc<str>>,
    /// ISO 3166-1 alpha-2, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Arc<str>>,
}

impl Appearance {
    /// These parts; `None` if there is neither.
    pub fn of(avatar_url: Option<&str>, country: Option<&str>) -> Option<Arc<Self>> {
        let some = avatar_url.is_some() || country.is_some();
        some.then(|| Arc::new(Self { avatar_url: avatar_url.map(Into::into), country: country.map(Into::into) }))
    }
}

/// The percentage (0–100) of the other entries that are below this rank; 100 for the only one.
pub fn percentile(rank: u64, total: u64) -> f64 {
    if total <= 1 {
        return 100.0;
    }
    100.0 * total.saturating_sub(rank) as f64 / (total - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_the_share_of_the_others_below() {
        assert_eq!(percentile(1, 1), 100.0);
        assert_eq!(percentile(1, 5), 100.0);
        assert_eq!(percentile(3, 5), 50.0);
        assert_eq!(percentile(5, 5), 0.0);
    }
}
