//! The JSON that the API and the streams share: windows, patches, standings.

use serde::Serialize;

use crate::domain::{
    entry::{Head, Neighbourhood, RankedEntry, Window, percentile},
    ids::LeaderboardId,
    version::Version,
};

/// A window: the body of `GET …/entries` and the data of a `leaderboard` event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    total: u64,
    entries: &'a [RankedEntry],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reset: bool,
}

impl<'a> WindowView<'a> {
    /// The first `limit` entries of the window.
    pub fn new(leaderboard_id: &'a LeaderboardId, window: &'a Window, limit: usize, reset: bool) -> Self {
        let Window { head, entries } = window;
        let entries = &entries[..limit.min(entries.len())];
        Self { leaderboard_id, season: head.season, version: head.version.as_ref(), total: head.total, entries, reset }
    }
}

/// The data of a `leaderboard-patch` event: what turns one window into the next.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    since: Option<&'a Version>,
    total: u64,
    size: usize,
    rows: Vec<&'a RankedEntry>,
    #[serde(skip)]
    shrinks: bool,
}

impl<'a> PatchView<'a> {
    /// The difference between two windows that start at rank 1.
    pub fn between(leaderboard_id: &'a LeaderboardId, old: &'a Window, new: &'a Window) -> Self {
        let changed = new.entries.iter().enumerate().filter(|(index, entry)| old.entries.get(*index) != Some(entry));
        Self {
            leaderboard_id,
            season: new.head.season,
            version: new.head.version.as_ref(),
            since: old.head.version.as_ref(),
            total: new.head.total,
            size: new.entries.len(),
            rows: changed.map(|(_, entry)| entry).collect(),
            shrinks: new.entries.len() < old.entries.len(),
        }
    }

    /// Whether both windows show the same.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && !self.shrinks
    }
}

/// One user's standing: the body of `GET …/entries/{userId}` and the data of a `standing` event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandingView<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    total: u64,
    entry: Option<&'a RankedEntry>,
    percentile: Option<f64>,
    around: &'a [RankedEntry],
}

impl<'a> StandingView<'a> {
    pub fn new(leaderboard_id: &'a LeaderboardId, head: &'a Head, neighbourhood: &'a Neighbourhood) -> Self {
        let entry = neighbourhood.entry.as_ref();
        Self {
            leaderboard_id,
            season: head.season,
            version: head.version.as_ref(),
            total: head.total,
            entry,
            percentile: entry.map(|entry| percentile(entry.rank, head.total)),
            around: &neighbourhood.around,
        }
    }
}

/// JSON text of a view.
pub fn json(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("views hold nothing that JSON cannot")
}
