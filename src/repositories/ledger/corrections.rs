//! Corrections in the ledger: what changes entries besides scores.

use super::{LIMIT, Ledger, LedgerError, Updated, transact};
use crate::domain::{
    announcement::Change,
    audit::Act,
    ids::{LeaderboardId, UserId},
};

impl Ledger {
    /// Removes a user's entry from the present season of a leaderboard; the history keeps its scores. `None` if there is no such entry.
    pub async fn remove_entry(
        &self,
        leaderboard: &LeaderboardId,
        user: &UserId,
        act: impl Into<Act>,
    ) -> Result<Option<Updated<Change>>, LedgerError> {
        let (leaderboard, user, act) = (leaderboard.clone(), user.clone(), act.into());
        Ok(transact!(self.write(LIMIT), corrections::remove_entry(&leaderboard, &user, &act))?)
    }
}
