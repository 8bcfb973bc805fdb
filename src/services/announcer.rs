//! Announces committed changes to the rankings and the streams. Write, then announce: everything here may be repeated, and is,
//! until the outbox row is deleted. `announcer/divergence.rs` interprets what the ranking's answers reveal about the ranking
//! itself.

mod divergence;
mod rows;
mod turns;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    domain::{
        announcement::Change,
        entry::{Head, Neighbourhood},
        ids::UserId,
        leaderboard::Board,
        version::{Version, epoch_number},
    },
    repositories::{
        feed::Feed,
        ledger::{Announced, Ledger},
        ranking_store::{Applied, RankingError, RankingStore},
    },
};

use super::{backlog::Backlog, changes::Changes, definitions::DefinitionCache, rebuild::Rebuilder};
pub use rows::Outcome;

/// How long a submitter waits for a ranking that is being rebuilt before the receipt goes out without ranks.
const REBUILD_PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait for another instance to announce an earlier revision of the same entry; after that the outbox sweeper
/// announces both.
const EARLY_PATIENCE: Duration = Duration::from_secs(1);
/// How long an earlier revision may be in flight before this instance looks for it, and how long until it looks again.
const OVERDUE: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// For how long no other submitter waits for an entry that one submitter has waited for without success.
const STUCK_FOR: Duration = Duration::from_secs(10);
/// Entries remembered as stuck. When full, all are forgotten, and the next submitter waits again.
const STUCK: usize = 4_096;
/// Outbox rows waiting to be deleted. When full, a row stays and the sweeper announces it again, which changes nothing.
const DONE_QUEUE: usize = 16_384;

/// The outcome of announcing one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Applied(Applied),
    /// Its leaderboard or season is gone: there is nothing left to announce it to.
    Gone,
    /// The ranking has to be rebuilt, and a rebuild is requested.
    Unready,
    /// The ranking is unreachable or refuses: the change stays in the outbox.
    NotYet,
}

impl Told {
    fn is_early(&self) -> bool {
        matches!(self, Self::Applied(Applied::Early { .. }))
    }
}

/// See the module's documentation.
pub struct Announcer {
    ranking_store: Arc<dyn RankingStore>,
    feed: Arc<dyn Feed>,
    ledger: Ledger,
    definitions: Arc<DefinitionCache>,
    rebuilder: Arc<Rebuilder>,
    backlog: Arc<Backlog>,
    /// Notified of every change before it is acknowledged, so that its writer reads it back.
    changes: Arc<Changes>,
    done: mpsc::Sender<Announced>,
    /// Holds the receiver until the task that deletes announced rows takes it.
    announced: tokio::sync::Mutex<mpsc::Receiver<Announced>>,
    /// Wakes the outbox sweeper: a change was left unannounced, and later commits have to wait for it.
    overdue: Notify,
    /// Has announced rows deleted at once: a boundary waits for those from before it.
    awaited: Notify,
    /// Entries that a submitter waited for without success, and when. At most [`STUCK`].
    stuck: Mutex<HashMap<(i64, UserId), Instant>>,
    /// By outbox row and leaderboard: the epochs of rankings that have to begin anew, because somebody was erased.
    renewed: Mutex<HashMap<(i64, i64), Arc<str>>>,
    /// When the other instances were last notified that a board is behind.
    reported: Mutex<Option<Instant>>,
}

/// What an announcer is made of.
pub struct Parts {
    pub ranking_store: Arc<dyn RankingStore>,
    pub feed: Arc<dyn Feed>,
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub rebuilder: Arc<Rebuilder>,
    pub backlog: Arc<Backlog>,
    pub changes: Arc<Changes>,
}

impl Announcer {
    /// The announcer; [`Self::delete_announced`] has to run beside it.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { ranking_store, feed, ledger, definitions, rebuilder, backlog, changes } = parts;
        let (done, announced) = mpsc::channel(DONE_QUEUE);
        let (announced, overdue, awaited) = (tokio::sync::Mutex::new(announced), Notify::new(), Notify::new());
        let (stuck, renewed, reported) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self {
            ranking_store,
            feed,
            ledger,
            definitions,
            rebuilder,
            backlog,
            changes,
            done,
            announced,
            overdue,
            awaited,
            stuck,
            renewed,
            reported,
        })
    }

    /// Users' entries and ranks, provided that the ranking lacks nothing.
    pub async fn places(&self, board: Board, users: &[UserId]) -> Result<(Head, Vec<Neighbourhood>), RankingError> {
        if self.backlog.is_behind(board.pk) {
            return Err(RankingError::Unready(board.pk));
        }
        self.ranking_store.neighbourhoods(board, users, 0).await
    }

    /// Applies changes once, each board's in order. The result is parallel to `changes`.
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

    /// Waits until the sweeper is needed: a change is overdue, or a ranking has been rebuilt and the changes that waited for it
    /// can be announced.
    pub async fn overdue(&self) {
        tokio::select! {
            () = self.overdue.notified() => {}
            () = self.rebuilder.rebuilt() => {}
        }
    }

    /// Has the sweeper begin another round at once.
    pub fn hurry(&self) {
        self.overdue.notify_one();
    }

    /// Retries what could not be announced at once, for as long as waiting is worthwhile: a change that came too early, until
    /// the instance that holds the earlier revision has announced it; a change of a ranking that is being rebuilt, until the
    /// ranking is ready. If an earlier revision takes long, the instance that committed it is assumed dead: the revision is
    /// announced here, or the sweeper is woken for it. If it is nowhere, the ranking is rebuilt.
    pub async fn see_through(&self, changes: &[Change], told: &mut [Told]) {
        let begun = Instant::now();
        let mut look_at = OVERDUE;
        let mut pause = Duration::from_millis(1);
        loop {
            let elapsed = begun.elapsed();
            let again: Vec<usize> =
                (0..told.len()).filter(|&index| self.is_worth_waiting(&changes[index], &told[index], elapsed)).collect();
            if again.is_empty() {
                break;
            }
            let early = again.iter().any(|&index| told[index].is_early());
            if early && elapsed >= look_at {
                look_at = elapsed + LOOK_AGAIN;
                if !self.look_into_gaps(changes, told).await {
                    self.overdue.notify_one();
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
            let of_these: Vec<Change> = again.iter().map(|&index| changes[index].clone()).collect();
            for (index, result) in again.into_iter().zip(self.apply(&of_these).await) {
                told[index] = result;
            }
        }
        self.remember_stuck(changes, told);
    }

    fn is_worth_waiting(&self, change: &Change, told: &Told, elapsed: Duration) -> bool {
        match told {
            // A ranking that refuses the earlier revision would have to refuse this one.
            told if told.is_early() => {
                elapsed < EARLY_PATIENCE && !self.backlog.is_behind(change.board.pk) && !self.is_stuck(change)
            }
            Told::Unready => elapsed < REBUILD_PATIENCE,
            _ => false,
        }
    }

    fn is_stuck(&self, change: &Change) -> bool {
        let stuck = self.stuck.lock();
        !stuck.is_empty()
            && stuck.get(&(change.board.pk, change.user_id.clone())).is_some_and(|since| since.elapsed() < STUCK_FOR)
    }

    fn remember_stuck(&self, changes: &[Change], told: &[Told]) {
        for (change, _) in changes.iter().zip(told).filter(|(_, told)| told.is_early()) {
            let mut stuck = self.stuck.lock();
            if stuck.len() >= STUCK {
                stuck.clear();
            }
            stuck.entry((change.board.pk, change.user_id.clone())).or_insert_with(Instant::now);
            stuck.retain(|_, since| since.elapsed() < STUCK_FOR);
        }
    }

    async fn apply_board(&self, board: Board, changes: &[Change]) -> Vec<Told> {
        let applied = self.ranking_store.apply(board, changes).await;
        match newest(&applied) {
            Some(version) => self.changes.told(board.pk, version),
            None => self.changes.untold(board.pk),
        }
        match applied {
            Ok(applied) => {
                self.note_epoch(board, &applied);
                if self.is_foreign(board, changes, &applied).await {
                    return vec![Told::Unready; changes.len()];
                }
                applied.into_iter().map(Told::Applied).collect()
            }
            Err(error) if error.calls_for_a_rebuild() && self.is_gone(board).await => {
                vec![Told::Gone; changes.len()]
            }
            // It turns over as soon as everything of the earlier season is announced.
            Err(RankingError::EarlierSeason { .. }) => vec![Told::Unready; changes.len()],
            // A later season than the ledger has: it was set back.
            Err(error) if error.calls_for_a_rebuild() => {
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

    fn note_epoch(&self, board: Board, applied: &[Applied]) {
        if let Some(epoch) =
            applied.first().and_then(|applied| epoch_number(&applied.version().epoch)).filter(|_| !self.backlog.is_empty())
        {
            self.backlog.note_epoch(board.pk, epoch);
        }
    }

    async fn is_gone(&self, board: Board) -> bool {
        let known = || self.definitions.current().leaderboard_by_pk(board.pk).is_some_and(|found| found.season == board.season);
        !known() && self.definitions.refresh().await.is_ok() && !known()
    }
}

/// The version of the last change that has one.
fn newest(applied: &Result<Vec<Applied>, RankingError>) -> Option<&Version> {
    let mut versions = applied.iter().flatten().filter_map(|applied| match applied {
        Applied::Ranked { version, .. } | Applied::Known { version, .. } => Some(version),
        Applied::Early { .. } | Applied::Conflict { .. } => None,
    });
    versions.next_back()
}
