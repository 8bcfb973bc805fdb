//! All definitions at one revision: what the scoring rule needs to know, immutable and shared.

use std::collections::HashMap;

use super::{
    action::Action,
    ids::{ActionId, LeaderboardId},
    leaderboard::Leaderboard,
};

/// Every leaderboard and every action, as of one revision of the ledger's definitions.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Grows with every change of any definition; equal revisions mean equal definitions.
    pub revision: i64,
    pub leaderboards: HashMap<LeaderboardId, Leaderboard>,
    pub actions: HashMap<ActionId, Action>,
}

impl Definitions {
    /// The leaderboard with this incarnation, where it still exists.
    pub fn leaderboard_by_pk(&self, pk: i64) -> Option<&Leaderboard> {
        self.leaderboards.values().find(|leaderboard| leaderboard.pk == pk)
    }
}
