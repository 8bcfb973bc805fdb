//! Finds entries by the beginning of a display name or user id. Who matches comes from the ledger, which holds all names in order, or,
//! where many do, from the top of the ranking; where they stand comes from the ranking, like every other read (docs/adr/0026).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    domain::{
        entry::{Head, RankedEntry, Window},
        ids::UserId,
        leaderboard::{Board, Leaderboard},
        search::Prefix,
    },
    repositories::ledger::Ledger,
};

use super::{
    error::ServiceError,
    ranking_reader::{RankingReader, Served},
    seasons::{Chosen, Seasons},
    turns::Turns,
};

/// How many of the first entries are looked through where too many users match to look each up, so many at a time.
const LOOKED_THROUGH: u64 = 1_000;
const AT_ONCE: u64 = 200;
/// How many users have their entries looked up where too few were among those.
const STAND_INS: usize = 300;
/// How long it is remembered that so many users match, and of how many beginnings.
const REMEMBERED: Duration = Duration::from_secs(10);
const BEGINNINGS: usize = 10_000;

/// See the module's documentation.
pub struct Search {
    ledger: Ledger,
    rankings: Arc<RankingReader>,
    seasons: Arc<Seasons>,
    turns: Arc<Turns>,
    /// Beginnings of more names than are looked up one by one, and when that was found. At most [`BEGINNINGS`].
    many: Mutex<HashMap<Prefix, Instant>>,
}

impl Search {
    pub fn new(ledger: Ledger, rankings: Arc<RankingReader>, seasons: Arc<Seasons>, turns: Arc<Turns>) -> Self {
        Self { ledger, rankings, seasons, turns, many: Mutex::default() }
    }

    /// Up to `limit` entries of a season whose display name or user id begins so, best first. Where many users match who are all far
    /// from the top, some of them.
    pub async fn find(
        &self,
        leaderboard: &Leaderboard,
        chosen: &Chosen,
        prefix: &Prefix,
        limit: u64,
    ) -> Result<Served<(Head, Vec<RankedEntry>)>, ServiceError> {
        let users = if prefix.is_of_none() { Vec::new() } else { self.users(leaderboard, chosen, prefix, limit).await? };
        if let Chosen::Current(leaderboard) = chosen
            && users.is_empty()
            && let Some(Served { value: head, source }) = self.rankings.head(leaderboard.board()).await
        {
            return Ok(Served { value: (head, Vec::new()), source });
        }
        let Served { value: (head, found), source } = self.seasons.neighbourhoods_in(leaderboard, chosen, &users, 0).await?;
        // The ranking shows present names, and nobody who is hidden; the ledger may know a user by a former name.
        let found = found.into_iter().filter_map(|found| found.entry);
        let mut entries: Vec<RankedEntry> = found.filter(|entry| begins(entry, prefix)).collect();
        entries.sort_unstable_by_key(|entry| entry.rank);
        entries.truncate(limit as usize);
        Ok(Served { value: (head, entries), source })
    }

    /// The best who match, in no particular order, and perhaps some others.
    async fn users(
        &self,
        leaderboard: &Leaderboard,
        chosen: &Chosen,
        prefix: &Prefix,
        limit: u64,
    ) -> Result<Vec<UserId>, ServiceError> {
        let board = match chosen {
            Chosen::Current(leaderboard) => leaderboard.board(),
            Chosen::Ended(season) => Board { season: *season, ..leaderboard.board() },
        };
        if !self.many_match(prefix) {
            let _turn = self.turns.next().await?;
            if let Some(users) = self.ledger.find_users(board, prefix, limit as i64).await? {
                return Ok(users);
            }
            self.remember(prefix);
        }
        let mut users: Vec<UserId> = Vec::new();
        for ahead in (0..LOOKED_THROUGH).step_by(AT_ONCE as usize) {
            let window = self.window(leaderboard, chosen, ahead + 1).await?;
            let last = window.entries.len() < AT_ONCE as usize;
            let matching = window.entries.into_iter().filter(|entry| begins(entry, prefix));
            add(&mut users, matching.map(|entry| entry.user_id), limit);
            if last || users.len() >= limit as usize {
                return Ok(users);
            }
        }
        let _turn = self.turns.next().await?;
        let others = self.ledger.find_some_users(board, prefix, STAND_INS, limit as i64).await?;
        add(&mut users, others, 2 * limit);
        Ok(users)
    }

    /// [`AT_ONCE`] entries from a rank on.
    async fn window(&self, leaderboard: &Leaderboard, chosen: &Chosen, from_rank: u64) -> Result<Window, ServiceError> {
        match chosen {
            Chosen::Current(leaderboard) => self.rankings.recent_window(leaderboard.board(), from_rank, AT_ONCE).await,
            Chosen::Ended(number) => Ok(self.seasons.window(leaderboard, *number, from_rank, AT_ONCE).await?.value),
        }
    }

    fn many_match(&self, prefix: &Prefix) -> bool {
        self.many.lock().get(prefix).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    fn remember(&self, prefix: &Prefix) {
        let mut many = self.many.lock();
        if many.len() >= BEGINNINGS {
            many.clear();
        }
        many.insert(prefix.clone(), Instant::now());
    }
}

/// Adds those who are not there yet, up to `limit` in all: one may have moved while the ranking was looked through.
fn add(users: &mut Vec<UserId>, others: impl IntoIterator<Item = UserId>, limit: u64) {
    for user in others {
        if users.len() < limit as usize && !users.contains(&user) {
            users.push(user);
        }
    }
}

/// Whether a name or id of this entry begins so.
fn begins(entry: &RankedEntry, prefix: &Prefix) -> bool {
    prefix.begins(&entry.display_name) || prefix.begins(entry.user_id.as_str())
}
