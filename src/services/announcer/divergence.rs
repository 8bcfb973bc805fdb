//! What the ranking's answers reveal about the ranking itself: that another ledger fed it, that this ledger fed it before it
//! was set back, or that an announcement to it was lost. Each is proved by the ledger before anything is done about it. Also
//! decides what to do about a change whose predecessor has not arrived.

use std::sync::Arc;

use crate::{
    domain::{
        announcement::Change,
        ids::UserId,
        leaderboard::Board,
        version::{epoch_name, epoch_number},
    },
    repositories::{ledger::OtherEpoch, ranking_store::Applied},
};

use super::{Announcer, Told};

/// Entries examined at once; the others are examined when they are retried.
const GAPS: usize = 64;

impl Announcer {
    /// Whether these answers prove that the ranking is not this ledger's; if they do, it is rebuilt.
    pub(super) async fn is_foreign(&self, board: Board, changes: &[Change], applied: &[Applied]) -> bool {
        let Some(epoch) = applied.first().map(|applied| Arc::clone(&applied.version().epoch)) else { return false };
        if applied.iter().any(|applied| matches!(applied, Applied::Conflict { .. })) {
            self.rebuilder.replace(board, epoch, "it holds another entry under the same revision");
            return true;
        }
        let later = |(change, applied): (&Change, &Applied)| match applied {
            Applied::Known { revision, .. } if *revision > change.revision => Some((change.user_id.clone(), *revision)),
            _ => None,
        };
        let later: Vec<(UserId, i64)> = changes.iter().zip(applied).filter_map(later).collect();
        if later.is_empty() {
            return false;
        }
        let users: Vec<UserId> = later.iter().map(|(user, _)| user.clone()).collect();
        let Ok(revisions) = self.ledger.entry_revisions(board, &users).await else { return false };
        let ahead = later.iter().any(|(user, revision)| revisions.get(user).is_none_or(|known| known < revision));
        if ahead {
            self.rebuilder.replace(board, epoch, "it is ahead of the ledger");
        }
        ahead
    }

    /// Examines changes that came too early, one per entry. If the outbox holds the revision that they wait for, it is
    /// announced at once: the instance that committed it may be dead, and at the sweeper's pace a user who keeps scoring would
    /// not catch up. If the outbox does not hold it and it still has not arrived, it was lost, and the ranking is rebuilt. What
    /// a superseded ranking lacks was announced to its successor. Returns whether the changes are worth another try.
    pub(super) async fn look_into_gaps(&self, changes: &[Change], told: &[Told]) -> bool {
        let mut gaps: Vec<(&Change, i64)> = Vec::new();
        for (change, told) in changes.iter().zip(told) {
            let Told::Applied(Applied::Early { held, .. }) = told else { continue };
            if !gaps.iter().any(|(other, _)| (other.board, &other.user_id) == (change.board, &change.user_id)) {
                gaps.push((change, *held));
            }
        }
        gaps.truncate(GAPS);
        gaps.sort_by_key(|(change, _)| change.board.pk);
        let mut closed = false;
        for of_board in gaps.chunk_by(|(one, _), (other, _)| one.board == other.board) {
            closed |= self.look_into_gaps_of_one(of_board).await;
        }
        closed
    }

    async fn look_into_gaps_of_one(&self, gaps: &[(&Change, i64)]) -> bool {
        let Some(&(first, held)) = gaps.first() else { return false };
        let board = first.board;
        if let Ok(Some(present)) = self.ledger.epoch(board.pk).await
            && self.is_superseded(board, present).await
        {
            return false;
        }
        // If the ledger cannot answer, the row is assumed to be held.
        if !self.ledger.outbox_holds(board, &first.user_id, held + 1).await.unwrap_or(true) {
            // The awaited revision may have been announced between the two queries.
            let applied = self.ranking_store.apply(board, std::slice::from_ref(first)).await;
            if let Ok([Applied::Early { version, .. }]) = applied.as_deref() {
                let why = "it lacks a change that nobody will announce any more";
                self.rebuilder.replace(board, Arc::clone(&version.epoch), why);
                return false;
            }
        }
        let mut missing = Vec::new();
        for (change, held) in gaps {
            let between = self.ledger.changes_between(board, &change.user_id, *held, change.revision).await;
            missing.extend(between.unwrap_or_default());
        }
        !missing.is_empty() && self.apply_board(board, &missing).await.iter().any(|told| matches!(told, Told::Applied(_)))
    }

    /// Called when outbox rows stay because they were announced to rankings of other epochs than the ledger's.
    pub(super) async fn look_into_epochs(&self, others: &[OtherEpoch], rows: &[(i64, i64)]) {
        for other in others {
            let found = self.definitions.current().leaderboard_by_pk(other.pk).map(|found| found.board());
            let Some(board) = found else { continue };
            if other.ranking > other.ledger {
                self.rebuilder.replace(board, epoch_name(other.ranking).into(), "its epoch is none of the ledger's");
                continue;
            }
            // If it is not superseded, the rows are only announced again.
            if self.is_superseded(board, other.ledger).await {
                rows.iter().filter(|(pk, _)| *pk == board.pk).for_each(|(pk, row)| {
                    self.backlog.add(*pk, *row);
                });
            }
        }
    }

    /// Whether the ranking that this instance reaches has been replaced by one with the epoch that the ledger allotted last; if
    /// so, that is noted.
    async fn is_superseded(&self, board: Board, present: i64) -> bool {
        // The ranking may have been rebuilt since it answered.
        let Ok(survey) = self.ranking_store.survey(board, 0).await else { return false };
        let superseded = epoch_number(&survey.version.epoch).is_some_and(|epoch| epoch < present);
        if superseded && self.backlog.supersede(board.pk, present) {
            tracing::warn!(leaderboard = board.pk, "this ranking was superseded by another one");
        }
        superseded
    }
}
