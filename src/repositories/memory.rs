//! The in-process ranking: what `app` builds if no `REDIS_URL` is set, for one instance. It implements both ports:
//! `memory::ranking_store` implements [`RankingStore`](super::ranking_store::RankingStore) and `memory::feed` implements
//! [`Feed`](super::feed::Feed) for the struct defined here.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use self::ranking::Ranking;
use super::{feed::feed_sender::FeedSender, ranking_store::RankingError};
use crate::domain::{event::EventKind, leaderboard::Board, time::Clock, version::Version};

mod feed;
pub(super) mod ranking;
mod ranking_store;

/// All rankings of this process, lost when it ends: every board starts not ready.
pub struct MemoryRanking {
    /// One slot per board that was ever used. The outer lock is held only to find or add a slot; the slot of a deleted board
    /// stays, empty, so that a late repeat learns of the deletion.
    boards: RwLock<HashMap<i64, Arc<Mutex<Slot>>>>,
    pub(super) feed_sender: FeedSender,
    pub(super) history_cap: usize,
    pub(super) clock: Clock,
}

/// One board. Its mutex is held for a whole call, never across an await: that makes ranks, sequence numbers, history and the
/// order of delivery one atomic step, and boards do not wait for each other.
#[derive(Default)]
pub(super) struct Slot {
    /// The ranking, if it is ready.
    pub ready: Option<Ranking>,
    /// The rebuild in progress.
    pub rebuild: Option<Building>,
    /// The token of the rebuild that made `ready`, so that a repeated finish is recognised.
    pub built_by: Option<String>,
    /// The version at which the deletion was announced.
    pub deleted: Option<Version>,
    /// The newest epoch this board has had, and the newest revision that was published of each kind of event: both outlive a rebuild.
    pub last_epoch: Option<Arc<str>>,
    pub published: HashMap<EventKind, i64>,
    pub subscribed: bool,
    pub watchers: u64,
}

/// A ranking under construction.
pub(super) struct Building {
    pub token: String,
    pub expires: Instant,
    pub ranking: Ranking,
}

impl MemoryRanking {
    /// Stores the latest `stream_history` events of each board.
    pub fn new(stream_history: u64, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            boards: RwLock::default(),
            feed_sender: FeedSender::new(),
            history_cap: usize::try_from(stream_history).unwrap_or(usize::MAX),
            clock,
        })
    }

    /// Runs a step on a board's slot under its lock.
    pub(super) fn with<T>(&self, pk: i64, step: impl FnOnce(&mut Slot) -> T) -> T {
        let found = self.boards.read().get(&pk).cloned();
        let slot = found.unwrap_or_else(|| self.boards.write().entry(pk).or_default().clone());
        let mut slot = slot.lock();
        step(&mut slot)
    }

    /// Runs a step on a board's ranking, if it is ready for this season.
    pub(super) fn with_ready<T>(&self, board: Board, step: impl FnOnce(&mut Ranking) -> T) -> Result<T, RankingError> {
        self.with(board.pk, |slot| slot.ready_for(board).map(step))
    }
}

impl Slot {
    /// The ranking, if it is complete and of the requested season.
    pub fn ready_for(&mut self, board: Board) -> Result<&mut Ranking, RankingError> {
        match self.ready.as_mut() {
            Some(ranking) if ranking.season == board.season => Ok(ranking),
            Some(ranking) if ranking.season > board.season => {
                Err(RankingError::LaterSeason { pk: board.pk, season: ranking.season })
            }
            Some(ranking) => Err(RankingError::EarlierSeason { pk: board.pk, season: ranking.season }),
            None => Err(RankingError::Unready(board.pk)),
        }
    }
}
