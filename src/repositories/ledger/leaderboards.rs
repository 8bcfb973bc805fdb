//! Leaderboards in the ledger.

use super::{LIMIT, Ledger, LedgerError, Updated, transact};
use crate::domain::{
    audit::Act,
    ids::LeaderboardId,
    leaderboard::{Board, InvalidSetting, Leaderboard, LeaderboardSettings},
};

impl Ledger {
    /// Creates a leaderboard: a new incarnation at season 1, without entries, even if the id was in use before. `Taken`.
    pub async fn create_leaderboard(
        &self,
        id: &LeaderboardId,
        settings: &LeaderboardSettings,
        act: impl Into<Act>,
    ) -> Result<Leaderboard, LedgerError> {
        let (id, settings, act) = (id.clone(), settings.clone(), act.into());
        Ok(transact!(self.write(LIMIT), leaderboards::create(&id, &settings, &act))?)
    }

    /// Creates the leaderboard if there is none and none ever existed: a deleted default leaderboard is not created again.
    pub async fn ensure_default_leaderboard(
        &self,
        id: &LeaderboardId,
        settings: &LeaderboardSettings,
        act: impl Into<Act>,
    ) -> Result<Option<Leaderboard>, LedgerError> {
        let (id, settings, act) = (id.clone(), settings.clone(), act.into());
        Ok(transact!(self.write(LIMIT), leaderboards::ensure_default(&id, &settings, &act))?)
    }

    /// Changes the settings to what `change` makes of the present ones. Every later commit uses them. `NotFound`;
    /// `Conflict` if one of the rules (order, operator, bounds) changes while the current season has entries; `Invalid`;
    /// `BoundaryDue` if a scheduled boundary has to be carried out first. A call that changes nothing is not announced.
    pub async fn update_leaderboard(
        &self,
        id: &LeaderboardId,
        act: impl Into<Act>,
        change: impl FnOnce(&Leaderboard) -> Result<LeaderboardSettings, InvalidSetting> + Send + 'static,
    ) -> Result<Updated<Leaderboard>, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), leaderboards::update(&id, &act, change))?)
    }

    /// Allots the epoch of a ranking that is being rebuilt: `earliest`, or one more than the greatest that this leaderboard
    /// ever had. `None` if the leaderboard is gone.
    pub async fn allot_epoch(&self, board: Board, earliest: i64) -> Result<Option<i64>, LedgerError> {
        Ok(transact!(self.write(LIMIT), leaderboards::allot_epoch(board, earliest))?)
    }

    /// Deletes the leaderboard with its entries and its history. No later commit feeds it. `NotFound`.
    pub async fn delete_leaderboard(&self, id: &LeaderboardId, act: impl Into<Act>) -> Result<Updated<Leaderboard>, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), leaderboards::delete(&id, &act))?)
    }
}
