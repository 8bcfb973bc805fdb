//! Reads a season from its first entry to its last.

use crate::{
    domain::{
        archive::Reading,
        entry::{RankKey, TAKEN_OUT},
        leaderboard::Board,
    },
    repositories::ledger::{Ledger, LedgerError},
};

/// Entries in one read.
const PAGE: i64 = 5_000;

/// What the entries of a season that has ended add up to.
pub async fn read(ledger: &Ledger, board: Board) -> Result<Reading, LedgerError> {
    let (mut reading, mut after) = (Reading::default(), None);
    loop {
        let page = ledger.entries_in_rank_order(board, after.as_ref(), PAGE).await?;
        page.iter().for_each(|entry| reading.read(board.order, entry));
        let Some(last) = page.last().filter(|_| page.len() as i64 == PAGE) else { return Ok(reading) };
        after = Some(RankKey {
            sort_score: last.score.map_or(TAKEN_OUT, |score| board.order.sort_score(score)),
            reached_at: last.reached_at,
            user_id: last.user_id.clone(),
        });
    }
}
