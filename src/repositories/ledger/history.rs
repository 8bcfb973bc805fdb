//! The history of scores in the ledger.

use uuid::Uuid;

use super::{LENGTHY_LIMIT, LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    ids::{LeaderboardId, UserId},
    leaderboard::{Board, Readable},
    submission::{Accepted, LatestScore, ScoreEvent},
};

impl Ledger {
    /// A committed submission as it was answered. Leaderboards that were deleted since are left out; `None` where none is left.
    pub async fn accepted(&self, event_id: Uuid) -> Result<Option<Accepted>, LedgerError> {
        Ok(transact!(self.read(LIMIT), history::accepted(event_id))?)
    }

    /// A user's accepted submissions from before `before`, newest first: all, or those that fed `leaderboard`, as far as they fed what is
    /// readable. Costs as much as the page, whatever else the user has done.
    pub async fn history(
        &self,
        user: &UserId,
        leaderboard: Option<&LeaderboardId>,
        before: Option<Uuid>,
        limit: i64,
        readable: Readable,
    ) -> Result<Vec<ScoreEvent>, LedgerError> {
        let (user, leaderboard) = (user.clone(), leaderboard.cloned());
        Ok(transact!(self.serve(LIMIT), events::of_user(&user, leaderboard.as_ref(), before, limit, readable))?)
    }

    /// The newest scores that changed a board's entries, newest first: up to `limit`, as far as they are among the newest few thousand events of
    /// all boards. Costs no more than passing over those, however quiet the board is.
    pub async fn latest_scores(&self, board: Board, limit: i64) -> Result<Vec<LatestScore>, LedgerError> {
        Ok(transact!(self.serve(LIMIT), events::latest(board, limit))?)
    }

    /// Entries of a board that are not what their history adds up to, and histories without an entry: one sentence each, none where all
    /// is well. Reads the whole board.
    pub async fn history_mismatches(&self, board: Board, limit: i64) -> Result<Vec<String>, LedgerError> {
        Ok(transact!(self.lengthy(LENGTHY_LIMIT), history::mismatches(board, limit))?)
    }
}
