//! Reviews of suspicious submissions in the ledger.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    LIMIT, Ledger, LedgerError,
    moderation::{Held, JudgedTogether, MODERATE_LIMIT, repeating},
    transact,
};
use crate::domain::{
    audit::Act,
    ids::UserId,
    leaderboard::Board,
    review::{Judgement, PendingScore, ReviewCase, ReviewFilter},
    time::Timestamp,
};

impl Ledger {
    /// Carries out verdicts together, each for itself. `BoundaryDue`: a season of one of their leaderboards has to be ended
    /// first, and nothing was done.
    pub async fn judge(&self, new: Vec<Judgement>, act: Act) -> Result<JudgedTogether, LedgerError> {
        let (new, held): (Arc<[_]>, Held) = (new.into(), Held::default());
        let judge = || {
            let (new, act, held) = (Arc::clone(&new), act.clone(), held.clone());
            async move { transact!(self.moderate(MODERATE_LIMIT), moderation::judge(&new, &act, &held)) }
        };
        let judged = repeating(judge).await?;
        crate::failpoints::failpoint!("verdicts-committed", LedgerError::Unavailable);
        Ok(judged)
    }

    /// Up to `limit` reviews, those of the newest events first, and the event after which there are more, if there are.
    /// `NotFound` if there is no such leaderboard.
    pub async fn reviews(
        &self,
        filter: &ReviewFilter,
        limit: i64,
        now: Timestamp,
    ) -> Result<(Vec<ReviewCase>, Option<Uuid>), LedgerError> {
        let filter = filter.clone();
        Ok(transact!(self.serve(LIMIT), review_cases::list(&filter, limit, now))?)
    }

    /// A user's pending scores of one board, newest first, up to `limit`.
    pub async fn pending_scores(&self, board: Board, user: &UserId, limit: i64) -> Result<Vec<PendingScore>, LedgerError> {
        let user = user.clone();
        Ok(transact!(self.serve(LIMIT), reviews::pending(board, &user, limit))?)
    }

    /// How many submissions wait for a moderator, up to `limit`.
    pub async fn count_pending_reviews(&self, limit: i64) -> Result<i64, LedgerError> {
        Ok(transact!(self.read(LIMIT), reviews::count_pending(limit))?)
    }
}
