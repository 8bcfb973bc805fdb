//! Outbox rows: the outcome of announcing one, and its deletion once all of it is announced.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    domain::{
        announcement::{Announcement, Change, DefinitionChange},
        leaderboard::Board,
        version::{Version, epoch_number},
    },
    repositories::{
        feed::{AccessChange, Readers},
        ledger::Announced,
        ranking_store::{Applied, RankingError},
    },
};

use super::{Announcer, REBUILD_PATIENCE, Told};

/// How often announced outbox rows are deleted, in bulk.
const DONE_INTERVAL: Duration = Duration::from_millis(200);
/// How soon a ranking is asked again that is about to turn over.
const TURNS_SOON: Duration = Duration::from_millis(10);
/// How soon rankings are asked again that are not there yet.
const AWAY_AGAIN: Duration = Duration::from_millis(50);
/// Rows deleted in one statement.
const AT_ONCE: usize = 1_024;
/// The shortest interval between notices to the other instances that boards are behind.
const REPORT_AGAIN: Duration = Duration::from_millis(250);

/// The outcome of announcing an outbox row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing of it is left to announce. Holds the rankings that applied it: pks and epochs.
    Announced(Vec<(i64, i64)>),
    /// The rankings of these boards are unreachable, refuse, or are being rebuilt.
    Away(Vec<i64>),
    /// The rankings answer, but the row has to wait for something else.
    Stuck,
}

impl Announcer {
    /// Announces an outbox row, and has it deleted or notes what remains of it. Never waits for another instance or a rebuild,
    /// but for a ranking that is about to turn over: left in the outbox, the row would keep everybody from reading it.
    pub async fn announce_row(&self, row: i64, announcement: &Announcement) {
        let deadline = Instant::now() + REBUILD_PATIENCE;
        let mut outcome = self.announce(row, announcement).await;
        while matches!(outcome, Outcome::Away(_)) && Instant::now() < deadline && self.is_turning(announcement).await {
            tokio::time::sleep(TURNS_SOON).await;
            outcome = self.announce(row, announcement).await;
        }
        self.close_row(row, outcome);
    }

    /// The same, waiting for up to this long for rankings that are not there yet.
    pub async fn see_row_through(&self, row: i64, announcement: &Announcement, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let outcome = self.announce(row, announcement).await;
            let over = !matches!(outcome, Outcome::Away(_)) || Instant::now() >= deadline;
            self.close_row(row, outcome);
            if over {
                return;
            }
            tokio::time::sleep(AWAY_AGAIN).await;
        }
    }

    /// Whether one of the rankings has yet to reach the season that this is of.
    async fn is_turning(&self, announcement: &Announcement) -> bool {
        for board in announcement.boards() {
            if matches!(self.ranking_store.head(board).await, Err(RankingError::EarlierSeason { .. })) {
                return true;
            }
        }
        false
    }

    /// The same for rows in their order; the caller deletes them. Consecutive scores go to the rankings together.
    pub async fn announce_again(&self, rows: &[(i64, Announcement)]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(rows.len());
        for together in rows.chunk_by(|(_, one), (_, other)| scores_of(one).is_some() && scores_of(other).is_some()) {
            let scores: Vec<&[Change]> = together.iter().filter_map(|(_, announcement)| scores_of(announcement)).collect();
            match together {
                [(row, announcement)] if scores.is_empty() => outcomes.push(self.announce(*row, announcement).await),
                _ => outcomes.extend(self.announce_scores(&scores).await),
            }
        }
        for ((row, announcement), outcome) in rows.iter().zip(&outcomes) {
            match outcome {
                Outcome::Away(_) => self.close_row(*row, outcome.clone()),
                Outcome::Stuck => self.stay_behind(*row, scores_of(announcement).unwrap_or_default()),
                Outcome::Announced(_) => {}
            }
        }
        outcomes
    }

    /// Notes that rankings of these boards lack what is in a row.
    pub fn leave_row(&self, row: i64, boards: Vec<i64>) {
        self.close_row(row, Outcome::Away(boards));
    }

    /// Notes the outcome of the changes in a row, as [`Self::apply`] and [`Self::see_through`] reported it.
    pub fn close_scores(&self, row: i64, changes: &[Change], told: &[Told]) {
        let outcome = outcome(changes, told);
        if outcome == Outcome::Stuck {
            self.stay_behind(row, changes);
        }
        self.close_row(row, outcome);
    }

    /// A ranking that lacks what these changes wait for lacks them as well, until they are announced.
    fn stay_behind(&self, row: i64, changes: &[Change]) {
        let behind = changes.iter().map(|change| change.board.pk).filter(|pk| self.backlog.is_behind(*pk));
        for pk in behind.collect::<BTreeSet<_>>() {
            let newly = self.backlog.add(pk, row);
            self.report_behind(pk, row, newly);
        }
    }

    async fn announce(&self, row: i64, announcement: &Announcement) -> Outcome {
        match announcement {
            Announcement::Scores { changes } => self.announce_scores(&[changes]).await.pop().unwrap_or(Outcome::Stuck),
            // Only the ledger knows the content of these rows, and always returns it complete.
            Announcement::Events { .. } => Outcome::Stuck,
            Announcement::Definition(change) => self.announce_definition(change).await,
            Announcement::Turn(turn) => self.announce_turn(row, turn).await,
            Announcement::Erase { boards } => self.begin_anew(row, boards).await,
            Announcement::Event { board, event, revision, fields } => {
                let result = self.ranking_store.publish(*board, *event, *revision, fields).await;
                let version = self.settled(*board, result).await;
                together(vec![(*board, version)])
            }
            Announcement::Rename { boards, user_id, name, events } => {
                let results = boards.iter().enumerate().map(async |(index, &board)| {
                    let result = self.ranking_store.rename(board, user_id, name, events.get(index).map(String::as_str)).await;
                    (board, self.settled(board, result).await)
                });
                together(join_all(results).await)
            }
        }
    }

    /// Announces the changes of several rows; returns the outcome of each.
    async fn announce_scores(&self, rows: &[&[Change]]) -> Vec<Outcome> {
        let changes = rows.concat();
        let mut told = self.apply(&changes).await;
        if told.iter().any(Told::is_early) && self.look_into_gaps(&changes, &told).await {
            told = self.apply(&changes).await;
        }
        let mut told = told.as_slice();
        let of_row = |changes: &&[Change]| {
            let (own, rest) = told.split_at(changes.len());
            told = rest;
            outcome(changes, own)
        };
        rows.iter().map(of_row).collect()
    }

    async fn announce_definition(&self, change: &DefinitionChange) -> Outcome {
        if change.definitions > 0 {
            // Before the ranking's own event: a client that receives that event finds the new definition in force.
            let readers = match (change.deleted, change.public) {
                (true, _) => Readers::Nobody,
                (false, true) => Readers::Everybody,
                (false, false) => Readers::Entitled,
            };
            let access = AccessChange { pk: change.board.pk, readers };
            if self.feed.definitions(Some((change.definitions, Some(access)))).await.is_err() {
                self.changes.untold(change.board.pk);
                return Outcome::Away(vec![change.board.pk]);
            }
        }
        match self.ranking_store.announce_definition(change).await {
            Err(error) if error.calls_for_a_rebuild() && change.deleted => Outcome::Announced(vec![]),
            result => together(vec![(change.board, self.settled(change.board, result).await)]),
        }
    }

    /// The epoch of the ranking that applied something; `None` inside `Ok` if no ranking is left to apply it. An error if it
    /// has to wait.
    async fn settled(&self, board: Board, result: Result<Version, RankingError>) -> Result<Option<i64>, ()> {
        self.changes.untold(board.pk);
        match result {
            Ok(version) => Ok(epoch_number(&version.epoch)),
            Err(error) if error.calls_for_a_rebuild() && self.is_gone(board).await => Ok(None),
            Err(error) if error.calls_for_a_rebuild() => {
                self.rebuilder.kick(board);
                Err(())
            }
            Err(_) => Err(()),
        }
    }

    pub(super) fn close_row(&self, row: i64, outcome: Outcome) {
        match outcome {
            Outcome::Announced(epochs) => {
                self.done.try_send(Announced { row, epochs }).ok();
            }
            Outcome::Away(boards) => {
                // A ranking that is being rebuilt is not read, and will contain this row when it is ready.
                for pk in boards.into_iter().filter(|pk| !self.rebuilder.is_rebuilding(*pk)) {
                    let newly = self.backlog.add(pk, row);
                    self.report_behind(pk, row, newly);
                }
            }
            Outcome::Stuck => {}
        }
    }

    /// Notifies the other instances in a task of its own, because it may take a while.
    fn report_behind(&self, pk: i64, row: i64, newly: bool) {
        let mut reported = self.reported.lock();
        if newly || reported.is_none_or(|at| at.elapsed() >= REPORT_AGAIN) {
            *reported = Some(Instant::now());
            let feed = Arc::clone(&self.feed);
            tokio::spawn(async move { feed.report_behind(pk, row).await });
        }
    }

    /// Deletes announced rows for as long as it is polled.
    pub async fn delete_announced(self: Arc<Self>) {
        let mut announced = self.announced.lock().await;
        let mut rows = Vec::new();
        while announced.recv_many(&mut rows, AT_ONCE).await > 0 {
            self.delete(&rows).await;
            rows.clear();
            tokio::select! {
                () = tokio::time::sleep(DONE_INTERVAL) => {}
                () = self.awaited.notified() => {}
            }
        }
    }

    /// Deletes rows that were announced, except those that went to a ranking that is not the ledger's. Returns the boards of
    /// such rankings.
    pub async fn delete(&self, rows: &[Announced]) -> Vec<i64> {
        match self.ledger.outbox_done(rows).await {
            Ok(others) if others.is_empty() => Vec::new(),
            Ok(others) => {
                let of_boards = rows.iter().flat_map(|row| row.epochs.iter().map(|(pk, _)| (*pk, row.row)));
                self.look_into_epochs(&others, &of_boards.collect::<Vec<_>>()).await;
                others.into_iter().map(|other| other.pk).collect()
            }
            Err(error) => {
                tracing::debug!(%error, "announced outbox rows stay until the sweeper has announced them again");
                Vec::new()
            }
        }
    }
}

fn scores_of(announcement: &Announcement) -> Option<&[Change]> {
    match announcement {
        Announcement::Scores { changes } => Some(changes),
        _ => None,
    }
}

fn outcome(changes: &[Change], told: &[Told]) -> Outcome {
    let (mut epochs, mut away, mut stuck) = (Vec::new(), Vec::new(), false);
    // The outcomes of one call share the text of their epoch, so checking one per call is enough.
    let mut last: Option<(i64, &Arc<str>)> = None;
    for (change, told) in changes.iter().zip(told) {
        let pk = change.board.pk;
        match told {
            Told::Applied(Applied::Ranked { version, .. } | Applied::Known { version, .. }) => {
                if last.is_none_or(|(of, epoch)| of != pk || !Arc::ptr_eq(epoch, &version.epoch)) {
                    last = Some((pk, &version.epoch));
                    epochs.extend(epoch_number(&version.epoch).map(|epoch| (pk, epoch)));
                }
            }
            Told::Gone => {}
            Told::Unready | Told::NotYet if away.last() == Some(&pk) => {}
            Told::Unready | Told::NotYet => away.push(pk),
            Told::Applied(Applied::Early { .. } | Applied::Conflict { .. }) => stuck = true,
        }
    }
    away.sort_unstable();
    away.dedup();
    match (away.is_empty(), stuck) {
        (false, _) => Outcome::Away(away),
        (true, true) => Outcome::Stuck,
        (true, false) => Outcome::Announced(epochs),
    }
}

fn together(results: Vec<(Board, Result<Option<i64>, ()>)>) -> Outcome {
    let (mut epochs, mut away) = (Vec::new(), Vec::new());
    for (board, result) in results {
        match result {
            Ok(epoch) => epochs.extend(epoch.map(|epoch| (board.pk, epoch))),
            Err(()) => away.push(board.pk),
        }
    }
    if away.is_empty() { Outcome::Announced(epochs) } else { Outcome::Away(away) }
}
