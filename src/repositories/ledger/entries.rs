//! Reads entries from the ledger: slower than from a ranking, and correct even when there is no ranking.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    entry::{Head, HiddenEntry, Neighbourhood, RankKey, StoredEntry, Window},
    ids::UserId,
    leaderboard::Board,
};

impl Ledger {
    /// Up to `limit` entries from rank `from_rank` (1 is the best) downwards. Its cost grows with the ranks that it skips, and
    /// it counts the board.
    pub async fn window(&self, board: Board, from_rank: u64, limit: u64) -> Result<Window, LedgerError> {
        self.window_of(board, from_rank, limit, None).await
    }

    /// The same with a total that the caller may know; it spares the count.
    pub async fn window_of(&self, board: Board, from_rank: u64, limit: u64, total: Option<u64>) -> Result<Window, LedgerError> {
        Ok(transact!(self.serve(LIMIT), entries::window(board, from_rank, limit, total, false))?)
    }

    /// For each user: its entry, and up to `around` entries on each side of it. All from one state.
    pub async fn neighbourhoods(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
    ) -> Result<(Head, Vec<Neighbourhood>), LedgerError> {
        self.neighbourhoods_of(board, users, around, None).await
    }

    /// The same with a total that the caller may know; it spares the count.
    pub async fn neighbourhoods_of(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
        total: Option<u64>,
    ) -> Result<(Head, Vec<Neighbourhood>), LedgerError> {
        let users = users.to_vec();
        Ok(transact!(self.serve(LIMIT), entries::neighbourhoods(board, &users, around, total, false))?)
    }

    /// Up to `limit` entries after a user id, in the order of the user ids: what a rebuild of the ranking reads, page by page.
    pub async fn entries_after(&self, board: Board, after: Option<&UserId>, limit: i64) -> Result<Vec<StoredEntry>, LedgerError> {
        let after = after.cloned();
        Ok(transact!(self.read(LIMIT), entries::after_user(board, after.as_ref(), limit))?)
    }

    /// Up to `limit` entries after a key in ranking order, best first: what `scoreboard verify` reads, page by page.
    pub async fn entries_in_rank_order(
        &self,
        board: Board,
        after: Option<&RankKey>,
        limit: i64,
    ) -> Result<Vec<StoredEntry>, LedgerError> {
        let after = after.cloned();
        Ok(transact!(self.read(LIMIT), entries::after_key(board, after.as_ref(), limit))?)
    }

    /// Up to `limit` entries of hidden users, or that of one of them, best first.
    pub async fn hidden_entries(&self, board: Board, user: Option<&UserId>, limit: i64) -> Result<Vec<HiddenEntry>, LedgerError> {
        let user = user.cloned();
        Ok(transact!(self.serve(LIMIT), entries::hidden(board, user.as_ref(), limit))?)
    }
}
