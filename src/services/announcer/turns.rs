//! Season boundaries: a ranking turns over to the next season once everything that was committed before is announced to it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::{
    domain::{
        announcement::Announcement,
        entry::{RankedEntry, Window},
        leaderboard::Board,
        season::Turn,
        version::{Version, epoch_number},
    },
    repositories::ranking_store::RankingError,
    services::views,
};

use super::{Announcer, Outcome};

/// Entries that the event of a season's end has for watchers of all events, and for those of the top.
const SHOWN: usize = 10;
const WIDEST: u64 = 100;
/// Rankings that are turned over at once.
const AT_ONCE: usize = 8;
/// How long whoever committed a boundary waits for what was committed before. After that the outbox sweeper takes over.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Announcer {
    /// Announces boundaries that were just committed here, and has their rows deleted.
    pub async fn announce_turns(self: &Arc<Self>, rows: Vec<(i64, Announcement)>) {
        let deadline = Instant::now() + PATIENCE;
        let mut left = rows;
        loop {
            let first = self.first_pending(&left).await;
            let tried = left.into_iter().map(|(row, announcement)| {
                let (announcer, first) = (Arc::clone(self), first.clone());
                async move {
                    let outcome = match (&announcement, &first) {
                        (Announcement::Turn(turn), Some(first)) => {
                            let blocked = first.get(&turn.board.pk).is_some_and(|first| *first < row);
                            if blocked { Outcome::Away(vec![turn.board.pk]) } else { announcer.turn_over(turn).await }
                        }
                        _ => Outcome::Away(announcement.boards().map(|board| board.pk).collect()),
                    };
                    (row, announcement, outcome)
                }
            });
            let tried: Vec<_> = stream::iter(tried).buffer_unordered(AT_ONCE).collect().await;
            let over = Instant::now() >= deadline;
            left = Vec::new();
            for (row, announcement, outcome) in tried {
                match outcome {
                    Outcome::Away(_) if !over => left.push((row, announcement)),
                    outcome => self.close_row(row, outcome),
                }
            }
            if left.is_empty() {
                return;
            }
            self.awaited.notify_one();
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The first pending row of each of their leaderboards; `None` if the ledger does not answer.
    async fn first_pending(&self, rows: &[(i64, Announcement)]) -> Option<HashMap<i64, i64>> {
        let last = rows.iter().map(|(row, _)| *row).max()?;
        let pks: Vec<i64> = rows.iter().flat_map(|(_, announcement)| announcement.boards()).map(|board| board.pk).collect();
        self.ledger.outbox_first_pending(&pks, last).await.ok()
    }

    /// Announces one row, provided that nothing before it is pending.
    pub(super) async fn announce_turn(&self, row: i64, turn: &Turn) -> Outcome {
        let pk = turn.board.pk;
        // The ranking is asked first: an outbox that grows while it is away is not searched for nothing.
        if let Err(error) = self.ranking_store.head(turn.board).await
            && !matches!(error, RankingError::LaterSeason { .. })
        {
            return self.not_turned(turn, error).await;
        }
        match self.ledger.outbox_first_pending(&[pk], row).await {
            Ok(first) if !first.contains_key(&pk) => self.turn_over(turn).await,
            _ => Outcome::Away(vec![pk]),
        }
    }

    /// Turns a ranking over that has everything of its season.
    async fn turn_over(&self, turn: &Turn) -> Outcome {
        match self.turn_ranking(turn).await {
            Ok(version) => {
                self.changes.untold(turn.board.pk);
                Outcome::Announced(epoch_number(&version.epoch).map(|epoch| (turn.board.pk, epoch)).into_iter().collect())
            }
            Err(error) => self.not_turned(turn, error).await,
        }
    }

    async fn turn_ranking(&self, turn: &Turn) -> Result<Version, RankingError> {
        let window = match self.ranking_store.window(turn.board, 1, WIDEST).await {
            // It has passed the first of several boundaries: the seasons after it ended empty.
            Err(RankingError::LaterSeason { .. }) => None,
            window => Some(window?),
        };
        let entries =
            |window: &Window, count: usize| views::json(&window.entries.iter().take(count).collect::<Vec<&RankedEntry>>());
        let (total, ten, hundred) = match &window {
            Some(window) => (window.head.total, entries(window, SHOWN), entries(window, usize::MAX)),
            None => (0, "[]".to_owned(), "[]".to_owned()),
        };
        crate::failpoints::failpoint!("boundary-announced", RankingError::Unreachable);
        self.ranking_store.turn(turn.board.pk, &turn.boundaries(total, &ten, &hundred)).await
    }

    /// The ranking could not be turned over. One that is lost is rebuilt for the present season, and then has passed the
    /// boundary.
    async fn not_turned(&self, turn: &Turn, error: RankingError) -> Outcome {
        let pk = turn.board.pk;
        self.changes.untold(pk);
        if error.calls_for_a_rebuild() {
            let Some(board) = self.present_board(pk).await else { return Outcome::Announced(vec![]) };
            self.rebuilder.kick(board);
        }
        tracing::debug!(leaderboard = pk, %error, "a boundary stays in the outbox");
        Outcome::Away(vec![pk])
    }

    /// Has rankings begin anew that know somebody who was erased, once everything is announced that was committed before: nothing
    /// of it may come after.
    pub(super) async fn begin_anew(&self, row: i64, boards: &[Board]) -> Outcome {
        let pks: Vec<i64> = boards.iter().map(|board| board.pk).collect();
        match self.ledger.outbox_first_pending(&pks, row).await {
            Ok(first) if first.is_empty() => {}
            _ => return Outcome::Away(pks),
        }
        let (mut epochs, mut away) = (Vec::new(), Vec::new());
        for pk in pks {
            let Some(board) = self.present_board(pk).await else { continue };
            match self.ranking_store.head(board).await.map(|head| head.version) {
                Ok(Some(version)) => {
                    // Only an epoch that follows one from after everything was announced knows nothing of it.
                    let known = Arc::clone(self.renewed.lock().entry((row, pk)).or_insert_with(|| Arc::clone(&version.epoch)));
                    if known == version.epoch {
                        self.rebuilder.renew(board, version.epoch);
                        away.push(pk);
                    } else {
                        epochs.extend(epoch_number(&version.epoch).map(|epoch| (pk, epoch)));
                    }
                }
                Err(error) if error.calls_for_a_rebuild() => {
                    self.rebuilder.kick(board);
                    away.push(pk);
                }
                Ok(None) | Err(_) => away.push(pk),
            }
        }
        if !away.is_empty() {
            return Outcome::Away(away);
        }
        self.renewed.lock().retain(|(of, _), _| *of != row);
        Outcome::Announced(epochs)
    }

    /// The present season of a leaderboard; `None` if it is gone.
    async fn present_board(&self, pk: i64) -> Option<Board> {
        // Without an answer of the ledger, what was known last is the best there is.
        self.definitions.refresh().await.ok();
        self.definitions.current().leaderboard_by_pk(pk).map(|found| found.board())
    }
}
