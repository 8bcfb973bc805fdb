//! Finds entries by the beginning of a display name or user id. Who matches comes from the ledger, which holds all names in order; where
//! they stand comes from the ranking, like every other read (docs/adr/0026).

use std::sync::Arc;

use crate::{
    domain::{
        entry::{Head, RankedEntry},
        leaderboard::Board,
        search::Prefix,
    },
    repositories::ledger::Ledger,
};

use super::{
    error::ServiceError,
    ranking_reader::{RankingReader, Served},
    turns::Turns,
};

/// See the module's documentation.
pub struct Search {
    pub ledger: Ledger,
    pub rankings: Arc<RankingReader>,
    pub turns: Arc<Turns>,
}

impl Search {
    /// Up to `limit` entries whose display name or user id begins so, best first. Where many users match who are all far
    /// from the top, some of them.
    pub async fn find(
        &self,
        board: Board,
        prefix: &Prefix,
        limit: u64,
    ) -> Result<Served<(Head, Vec<RankedEntry>)>, ServiceError> {
        let users = {
            let _turn = self.turns.next().await?;
            self.ledger.find_users(board, prefix, limit as i64).await?
        };
        if users.is_empty() {
            let Some(Served { value, source }) = self.rankings.head(board).await else {
                let Served { value: (head, _), source } = self.rankings.neighbourhoods(board, &users, 0).await?;
                return Ok(Served { value: (head, Vec::new()), source });
            };
            return Ok(Served { value: (value, Vec::new()), source });
        }
        let Served { value: (head, found), source } = self.rankings.neighbourhoods(board, &users, 0).await?;
        // The ranking shows present names, and nobody who is hidden; the ledger may know a user by a former name.
        let begins = |entry: &RankedEntry| prefix.begins(&entry.display_name) || prefix.begins(entry.user_id.as_str());
        let mut entries: Vec<RankedEntry> = found.into_iter().filter_map(|found| found.entry).filter(begins).collect();
        entries.sort_unstable_by_key(|entry| entry.rank);
        entries.truncate(limit as usize);
        Ok(Served { value: (head, entries), source })
    }
}
