//! The history of scores in the ledger.

use std::collections::HashSet;

use uuid::Uuid;

use super::{LENGTHY_LIMIT, LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    announcement::Change,
    ids::{LeaderboardId, UserId},
    leaderboard::{Board, Projection, Readable},
    submission::{Accepted, LatestScore, ScoreEvent},
    time::Timestamp,
};

impl Ledger {
    /// Committed submissions as they were settled, in the requested order, and the changes to announce to the ranking: one for
    /// each standing that was applied. Leaderboards that were deleted since are left out, and so are submissions with none
    /// left.
    pub async fn committed(&self, events: Vec<Uuid>) -> Result<(Vec<Accepted>, Vec<Change>), LedgerError> {
        Ok(transact!(self.read(LIMIT), history::committed(&events))?)
    }

    /// A user's accepted submissions from before `before`, newest first: all, or those that fed `leaderboard`, limited to
    /// readable leaderboards. The cost depends only on the page, whatever else the user has done.
    pub async fn history(
        &self,
        user: &UserId,
        leaderboard: Option<&LeaderboardId>,
        before: Option<Uuid>,
        limit: i64,
        readable: Readable,
        projection: Projection,
    ) -> Result<Vec<ScoreEvent>, LedgerError> {
        let (user, leaderboard) = (user.clone(), leaderboard.cloned());
        Ok(transact!(self.serve(LIMIT), events::of_user(&user, leaderboard.as_ref(), before, limit, &readable, projection))?)
    }

    /// The newest scores that changed a board's entries, newest first: up to `limit`, provided that they are among the newest
    /// few thousand events of all boards. Costs no more than a scan of those, however quiet the board is.
    pub async fn latest_scores(
        &self,
        board: Board,
        before: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<LatestScore>, LedgerError> {
        Ok(transact!(self.serve(LIMIT), events::latest(board, before, limit))?)
    }

    /// Of the newest scores of a board: those that are withheld, and the users whose entries are in no ranking.
    pub async fn unseen(
        &self,
        board: Board,
        scores: Vec<(Uuid, UserId)>,
    ) -> Result<(HashSet<Uuid>, HashSet<UserId>), LedgerError> {
        Ok(transact!(self.serve(LIMIT), events::unseen(board, &scores))?)
    }

    /// Entries of all seasons of a leaderboard that differ from the sum of their history, histories without an entry, and scores
    /// outside their season: one sentence each, none if all is well. Reads the whole leaderboard.
    pub async fn history_mismatches(&self, board: Board, limit: i64) -> Result<Vec<String>, LedgerError> {
        let pk = board.pk;
        Ok(transact!(self.lengthy(LENGTHY_LIMIT), verification::mismatches(pk, limit))?)
    }
}
