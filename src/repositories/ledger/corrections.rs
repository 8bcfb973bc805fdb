//! Corrections in the ledger: what changes entries besides scores.

use super::{LIMIT, Ledger, LedgerError, Updated, transact};
use crate::domain::{
    announcement::Change,
    ids::{LeaderboardId, UserId},
    time::Timestamp,
};

impl Ledger {
    /// Removes a user's entry from the present season of a leaderboard, on behalf of that subject; the history keeps its
    /// scores. `None` if there is no such entry.
    pub async fn remove_entry(
        &self,
        leaderboard: &LeaderboardId,
        user: &UserId,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<Updated<Change>>, LedgerError> {
        let (leaderboard, user, subject) = (leaderboard.clone(), user.clone(), subject.to_owned());
        Ok(transact!(self.write(LIMIT), corrections::remove_entry(&leaderboard, &user, &subject, now))?)
    }
}
