//! Compares the rankings with the ledger in the background: a lost ranking is rebuilt although nobody reads it; so is one that
//! reports events which the ledger does not have, or an epoch that the ledger never gave it, because the ledger was set back.
//!
//! A round costs one short call per ranking and two statements for all of them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    domain::{leaderboard::Board, version::epoch_number},
    repositories::{
        ledger::Ledger,
        ranking_store::{RankingError, RankingStore, Survey},
    },
};

use super::{backlog::Backlog, definitions::DefinitionCache, error::ServiceError, rebuild::Rebuilder, tenure::Tenure};

/// Rankings queried at once.
const AT_ONCE: usize = 32;
/// After this many unreachable rankings the round ends: the store is unavailable.
const OUT_OF_REACH: usize = 16;
/// Events of each ranking that are looked up in the ledger; the second constant is for when the ledger may just have been set
/// back.
const EVENTS: usize = 1;
const EVENTS_IN_DOUBT: usize = 64;
/// How long a superseded ranking may stay before it is rebuilt: the connection to it is about to move to its successor, or else
/// it is the only one there is. Longer than the other instances, which reach the ledger's ranking, need to announce there what
/// was announced to this one: a rebuild here supersedes that one.
const SUPERSEDED_FOR: Duration = Duration::from_secs(15);
/// The longest that it may stay next time. Two instances that reach different stores rebuild alternately, at growing intervals.
const LONGEST: Duration = Duration::from_secs(300);
/// How often it is asked whether users have pictures or countries, as long as none has and rankings of an earlier release are left.
const APPEARANCES_AGAIN: Duration = Duration::from_secs(3600);

/// See the module's documentation.
pub struct Inspection {
    pub ranking_store: Arc<dyn RankingStore>,
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub rebuilder: Arc<Rebuilder>,
    pub backlog: Arc<Backlog>,
    /// Which ledger owns the rankings, if there can be any doubt.
    pub tenure: Option<Arc<Tenure>>,
    /// How long superseded rankings may stay, by incarnation. One entry for each ranking that was ever superseded.
    pub patience: Mutex<HashMap<i64, Duration>>,
    /// When it was last asked whether any user has a picture or a country, and the answer.
    pub appearances: Mutex<Option<(Instant, bool)>>,
}

impl Inspection {
    /// Whether a round is due at once: the ledger was unavailable, and may have come back in another state.
    pub async fn is_urgent(&self) -> bool {
        self.definitions.has_come_back() || self.tenure.as_ref().is_some_and(|tenure| !tenure.is_settled())
    }

    /// Waits until a round becomes due early: another ledger may feed the same rankings.
    pub async fn doubted(&self) {
        self.definitions.doubted().await;
    }

    /// Inspects all rankings once. The necessary rebuilds are under way when it returns.
    pub async fn round(&self) -> Result<(), ServiceError> {
        let in_doubt = self.definitions.take_come_back();
        let looked = self.look(in_doubt).await;
        if in_doubt && looked.is_err() {
            self.definitions.note_come_back();
        }
        looked
    }

    async fn look(&self, in_doubt: bool) -> Result<(), ServiceError> {
        if let Some(tenure) = &self.tenure
            && tenure.settle().await?
        {
            self.distrust_all().await;
            tenure.confirm().await?;
        }
        self.inspect(if in_doubt { EVENTS_IN_DOUBT } else { EVENTS }).await
    }

    /// The first round, before anything is announced: the ledger may not be the one from last time.
    pub async fn first_round(&self) -> Result<(), ServiceError> {
        self.definitions.note_come_back();
        self.round().await
    }

    async fn inspect(&self, events: usize) -> Result<(), ServiceError> {
        let surveyed = self.survey_all(events).await;
        // Read after the rankings: an epoch that one of them has was allotted before.
        let epochs = self.ledger.epochs().await?;
        for (board, survey) in &surveyed {
            let Some((ranking, ledger)) = epoch_number(&survey.version.epoch).zip(epochs.get(&board.pk).copied()) else {
                continue;
            };
            if ranking > ledger {
                self.replace(board, survey, "its epoch is none of the ledger's");
            } else if ranking < ledger {
                self.note_superseded(board, ledger).await;
            } else {
                self.backlog.note_epoch(board.pk, ranking);
            }
        }
        let without: Vec<_> = surveyed.iter().filter(|(_, survey)| !survey.has_appearances).collect();
        if !without.is_empty() && self.has_appearances().await? {
            for (board, survey) in without {
                self.replace(board, survey, "a release before this one built it, without pictures and countries");
            }
        }
        let newest = |survey: &Survey| survey.newest_events.clone();
        let ids: Vec<Uuid> = surveyed.iter().flat_map(|(_, survey)| newest(survey)).collect();
        let unknown = self.ledger.unknown_events(&ids).await?;
        if !unknown.is_empty() {
            for (board, survey) in
                surveyed.iter().filter(|(_, survey)| survey.newest_events.iter().any(|id| unknown.contains(id)))
            {
                self.replace(board, survey, "it tells of events that the ledger does not have");
            }
        }
        Ok(())
    }

    /// Whether any user has a picture or a country. That is rarely asked: where nobody has one, all users are looked through.
    async fn has_appearances(&self) -> Result<bool, ServiceError> {
        let known = *self.appearances.lock();
        if let Some((_, has)) = known.filter(|(asked, has)| *has || asked.elapsed() < APPEARANCES_AGAIN) {
            return Ok(has);
        }
        let has = self.ledger.has_appearances().await?;
        *self.appearances.lock() = Some((Instant::now(), has));
        Ok(has)
    }

    /// Rebuilds rankings that have been superseded for too long.
    pub async fn look_at_superseded(&self) {
        for (pk, since) in self.backlog.superseded() {
            let patience = self.patience.lock().get(&pk).copied().unwrap_or(SUPERSEDED_FOR);
            let definitions = self.definitions.current();
            let Some(board) = definitions.leaderboard_by_pk(pk).map(|found| found.board()) else {
                self.backlog.forget(pk);
                continue;
            };
            let Ok(survey) = self.ranking_store.survey(board, 0).await else { continue };
            if let Some(epoch) = epoch_number(&survey.version.epoch) {
                self.backlog.note_epoch(pk, epoch);
            }
            if since.elapsed() >= patience && self.backlog.superseded().iter().any(|(of, _)| *of == pk) {
                self.patience.lock().insert(pk, (patience * 2).min(LONGEST));
                self.replace(&board, &survey, "another one has taken its place, and it is still the one that is reached");
            }
        }
    }

    /// Queries every ranking; those that are lost are rebuilt.
    async fn survey_all(&self, events: usize) -> Vec<(Board, Survey)> {
        let definitions = self.definitions.current();
        let boards: Vec<Board> = definitions.leaderboards().map(|leaderboard| leaderboard.board()).collect();
        let asked = boards.into_iter().map(|board| async move { (board, self.ranking_store.survey(board, events).await) });
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let (mut surveyed, mut out_of_reach) = (Vec::new(), 0);
        while let Some((board, answer)) = answers.next().await {
            match answer {
                Ok(survey) => surveyed.push((board, survey)),
                Err(error) if error.calls_for_a_rebuild() => drop(self.rebuilder.kick(board)),
                Err(RankingError::EarlierSeason { season, .. }) => self.look_at_boundary(board, season).await,
                Err(error) => {
                    out_of_reach += 1;
                    if out_of_reach >= OUT_OF_REACH {
                        tracing::debug!(%error, "the rankings are unreachable");
                        break;
                    }
                }
            }
        }
        surveyed
    }

    /// A ranking that is still of an earlier season turns over when the outbox row of the boundary is announced. If there is no
    /// such row, nothing will turn it over: the ledger was set back and has gone on since.
    async fn look_at_boundary(&self, board: Board, season: i64) {
        let pending = self.ledger.outbox_first_pending(&[board.pk], i64::MAX).await;
        if pending.is_ok_and(|first| first.is_empty())
            && let Ok(survey) = self.ranking_store.survey(Board { season, ..board }, 0).await
        {
            self.replace(&board, &survey, "it is of an earlier season, and no boundary is to be announced");
        }
    }

    async fn note_superseded(&self, board: &Board, ledger: i64) {
        // A rebuild may have begun and ended in the meantime.
        let Ok(survey) = self.ranking_store.survey(*board, 0).await else { return };
        if epoch_number(&survey.version.epoch).is_some_and(|epoch| epoch < ledger) {
            self.backlog.supersede(board.pk, ledger);
        }
    }

    /// Rebuilds every ranking, and waits for the rebuilds to end.
    async fn distrust_all(&self) {
        let surveyed = self.survey_all(0).await;
        let mut ends: Vec<_> = surveyed
            .iter()
            .map(|(board, survey)| {
                let epoch = Arc::clone(&survey.version.epoch);
                self.rebuilder.replace(*board, epoch, "the ledger goes on from another point of its past")
            })
            .collect();
        futures_util::future::join_all(ends.iter_mut().map(|ended| ended.changed())).await;
    }

    fn replace(&self, board: &Board, survey: &Survey, why: &str) {
        self.rebuilder.replace(*board, Arc::clone(&survey.version.epoch), why);
    }
}
