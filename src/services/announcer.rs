//! Telling the ranking and the watchers what was committed. Write, then announce: everything here may be repeated, and is, until the
//! outbox row is gone.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc};

use crate::{
    domain::{
        announcement::{Announcement, Change},
        leaderboard::Board,
        position::Version,
    },
    repositories::{
        ledger::Ledger,
        standings::{Applied, Standings, StandingsError},
    },
};

use super::{changes::Changes, definitions::DefinitionCache, rebuild::Rebuilder};

/// How long a submitter waits for a ranking that is being rebuilt before the receipt goes out without ranks.
const REBUILD_PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait for another instance to tell an earlier revision of the same entry; past that the outbox sweeper tells both.
const EARLY_PATIENCE: Duration = Duration::from_secs(1);
/// How long an earlier revision may be on its way before it counts as left untold, and the sweeper is sent for it.
const OVERDUE: Duration = Duration::from_millis(100);
/// Outbox rows that wait for their deletion. When full, a row stays and the sweeper tells it again, which changes nothing.
const DONE_QUEUE: usize = 16_384;
/// How often told outbox rows are deleted, in bulk.
const DONE_INTERVAL: Duration = Duration::from_millis(200);

/// What became of one change when it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Applied(Applied),
    /// Its leaderboard or season is gone: there is nobody left to tell.
    Gone,
    /// The ranking has to be rebuilt, and is about to be.
    Unready,
    /// The ranking is out of reach: the outbox keeps it.
    NotYet,
}

impl Told {
    fn is_settled(&self) -> bool {
        !matches!(self, Self::NotYet | Self::Unready | Self::Applied(Applied::Early))
    }
}

/// See the module's documentation.
pub struct Announcer {
    standings: Arc<dyn Standings>,
    definitions: Arc<DefinitionCache>,
    rebuilder: Arc<Rebuilder>,
    /// Told of every change before it is acknowledged, so that whoever wrote it reads it.
    changes: Arc<Changes>,
    done: mpsc::Sender<i64>,
    /// Wakes the outbox sweeper: something was left untold, and what was committed since has to wait for it.
    overdue: Notify,
}

impl Announcer {
    /// The announcer, and the task that deletes told outbox rows.
    pub fn new(
        standings: Arc<dyn Standings>,
        ledger: Ledger,
        definitions: Arc<DefinitionCache>,
        rebuilder: Arc<Rebuilder>,
        changes: Arc<Changes>,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send) {
        let (done, told) = mpsc::channel(DONE_QUEUE);
        let announcer = Self { standings, definitions, rebuilder, changes, done, overdue: Notify::new() };
        (Arc::new(announcer), delete_told(ledger, told))
    }

    /// The ranking that is told.
    pub fn standings(&self) -> &dyn Standings {
        &*self.standings
    }

    /// Tells one announcement whole. True once nothing of it is left to tell. Waits for nobody: what comes too early is tried again later.
    pub async fn tell(&self, announcement: &Announcement) -> bool {
        match announcement {
            Announcement::Scores { changes } => all_settled(&self.apply(changes).await),
            // Only the ledger knows what stands behind these, and it gives them out whole.
            Announcement::Events { .. } => false,
            Announcement::Definition(change) => {
                let result = self.standings.tell_definition(change).await;
                match result {
                    Err(StandingsError::Unready(_)) if change.deleted => true,
                    result => self.settled(change.board, result).await,
                }
            }
            Announcement::Rename { boards, user_id, name } => {
                let results = boards.iter().map(async |&board| {
                    let result = self.standings.rename(board, user_id, name).await;
                    self.settled(board, result).await
                });
                join_all(results).await.into_iter().all(|settled| settled)
            }
        }
    }

    /// Tells an outbox row and marks it as done.
    pub async fn tell_row(&self, id: i64, announcement: &Announcement) -> bool {
        let told = self.tell(announcement).await;
        if told {
            self.mark_done(id);
        }
        told
    }

    /// The outbox row has been told and may be deleted.
    pub fn mark_done(&self, id: i64) {
        self.done.try_send(id).ok();
    }

    /// Applies changes, each board's in order, once. Parallel to `changes`.
    pub async fn apply(&self, changes: &[Change]) -> Vec<Told> {
        let mut by_board: Vec<(Board, Vec<usize>)> = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            match by_board.iter_mut().find(|(board, _)| *board == change.board) {
                Some((_, indices)) => indices.push(index),
                None => by_board.push((change.board, vec![index])),
            }
        }
        let mut told = vec![Told::NotYet; changes.len()];
        if let [(board, _)] = by_board.as_slice() {
            return self.apply_board(*board, changes).await;
        }
        let results = by_board.iter().map(async |(board, indices)| {
            let of_board: Vec<Change> = indices.iter().map(|&index| changes[index].clone()).collect();
            self.apply_board(*board, &of_board).await
        });
        for ((_, indices), results) in by_board.iter().zip(join_all(results).await) {
            for (&index, result) in indices.iter().zip(results) {
                told[index] = result;
            }
        }
        told
    }

    /// Waits until something is found to be overdue.
    pub async fn overdue(&self) {
        self.overdue.notified().await;
    }

    /// Tries again what could not be told at once, for as long as it is worth waiting for: changes that came too early until whoever holds the
    /// earlier revision has told it, and changes of a ranking that is being rebuilt until it is ready. Where an earlier revision takes long,
    /// whoever it was is dead: the sweeper is sent for it at once, for a user who keeps scoring would otherwise stay behind for ever.
    pub async fn see_through(&self, changes: &[Change], told: &mut [Told]) {
        let begun = tokio::time::Instant::now();
        let mut called = false;
        let mut pause = Duration::from_millis(1);
        loop {
            let elapsed = begun.elapsed();
            let worth_waiting = |told: &Told| match told {
                Told::Applied(Applied::Early) => elapsed < EARLY_PATIENCE,
                Told::Unready => elapsed < REBUILD_PATIENCE,
                _ => false,
            };
            let again: Vec<usize> = (0..told.len()).filter(|&index| worth_waiting(&told[index])).collect();
            if again.is_empty() {
                return;
            }
            if !called && elapsed >= OVERDUE && told.contains(&Told::Applied(Applied::Early)) {
                called = true;
                self.overdue.notify_one();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
            let of_these: Vec<Change> = again.iter().map(|&index| changes[index].clone()).collect();
            for (index, result) in again.into_iter().zip(self.apply(&of_these).await) {
                told[index] = result;
            }
        }
    }

    async fn apply_board(&self, board: Board, changes: &[Change]) -> Vec<Told> {
        let applied = self.standings.apply(board, changes).await;
        match newest(&applied) {
            Some(version) => self.changes.told(board.pk, version),
            None => self.changes.untold(board.pk),
        }
        match applied {
            Ok(applied) => applied.into_iter().map(Told::Applied).collect(),
            Err(StandingsError::Unready(_)) if self.is_gone(board).await => vec![Told::Gone; changes.len()],
            Err(StandingsError::Unready(_)) => {
                self.rebuilder.kick(board);
                vec![Told::Unready; changes.len()]
            }
            Err(error) => {
                tracing::debug!(leaderboard = board.pk, %error, "changes stay in the outbox");
                metrics::counter!("scoreboard_announcements_deferred_total").increment(changes.len() as u64);
                vec![Told::NotYet; changes.len()]
            }
        }
    }

    /// Whether nothing is left to tell after this result.
    async fn settled<T>(&self, board: Board, result: Result<T, StandingsError>) -> bool {
        self.changes.untold(board.pk);
        match result {
            Ok(_) => true,
            Err(StandingsError::Unready(_)) if self.is_gone(board).await => true,
            Err(StandingsError::Unready(_)) => {
                self.rebuilder.kick(board);
                false
            }
            Err(_) => false,
        }
    }

    async fn is_gone(&self, board: Board) -> bool {
        let known = || self.definitions.current().leaderboard_by_pk(board.pk).is_some_and(|found| found.season == board.season);
        !known() && self.definitions.refresh().await.is_ok() && !known()
    }
}

/// Whether nothing of these is left to tell.
pub fn all_settled(told: &[Told]) -> bool {
    told.iter().all(Told::is_settled)
}

/// The position of the last change that has one.
fn newest(applied: &Result<Vec<Applied>, StandingsError>) -> Option<&Version> {
    let mut versions = applied.iter().flatten().filter_map(|applied| match applied {
        Applied::Ranked { version, .. } | Applied::Known { version, .. } => Some(version),
        Applied::Early => None,
    });
    versions.next_back()
}

async fn delete_told(ledger: Ledger, mut told: mpsc::Receiver<i64>) {
    let mut ids = Vec::new();
    while told.recv_many(&mut ids, 1024).await > 0 {
        if let Err(error) = ledger.outbox_done(&ids).await {
            tracing::debug!(%error, "told outbox rows stay until the sweeper has told them again");
        }
        ids.clear();
        tokio::time::sleep(DONE_INTERVAL).await;
    }
}
