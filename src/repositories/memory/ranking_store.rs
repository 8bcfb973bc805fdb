//! [`RankingStore`] in process. Called by services through `Arc<dyn RankingStore>`; every call is one step under the board's lock.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::repositories::ranking_store::{Applied, Begun, LEASE, RankingError, RankingStore, Rebuild, Replaces, Survey};
use crate::{
    domain::{
        announcement::{Change, DefinitionChange},
        entry::{DisplayName, Head, Neighbourhood, StoredEntry, Window},
        event::EventKind,
        ids::UserId,
        leaderboard::Board,
        season::Boundary,
        version::{Version, epoch_name},
    },
    repositories::{
        epoch::epoch_after,
        feed::{FeedMessage, feed_sender::EVENTS_PER_MESSAGE},
        memory::{Building, MemoryRanking, Slot, ranking::Ranking},
    },
};

#[async_trait]
impl RankingStore for MemoryRanking {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn apply(&self, board: Board, changes: &[Change]) -> Result<Vec<Applied>, RankingError> {
        self.with(board.pk, |slot| {
            let subscribed = slot.subscribed;
            let ranking = slot.ready_for(board)?;
            let (outcomes, events): (Vec<_>, Vec<_>) = changes.iter().map(|change| ranking.apply(board, change)).unzip();
            let events: Vec<_> = events.into_iter().flatten().collect();
            for events in events.chunks(EVENTS_PER_MESSAGE).filter(|_| subscribed) {
                let (epoch, events) = (ranking.epoch.clone(), events.to_vec());
                self.feed_sender.deliver(FeedMessage::Events { pk: board.pk, epoch, events });
            }
            Ok(outcomes)
        })
    }

    async fn announce_definition(&self, change: &DefinitionChange) -> Result<Version, RankingError> {
        self.with(change.board.pk, |slot| {
            if change.deleted {
                return Ok(self.announce_deletion(slot, change));
            }
            self.publish_in(slot, change.board, change.kind(), change.revision, &change.event)
        })
    }

    async fn publish(&self, board: Board, kind: EventKind, revision: i64, fields: &str) -> Result<Version, RankingError> {
        self.with(board.pk, |slot| self.publish_in(slot, board, kind, revision, fields))
    }

    async fn turn(&self, pk: i64, boundaries: &[Boundary]) -> Result<Version, RankingError> {
        self.with(pk, |slot| {
            let subscribed = slot.subscribed;
            let ranking = slot.ready.as_mut().ok_or(RankingError::Unready(pk))?;
            if boundaries.first().is_some_and(|first| ranking.season < first.ended) {
                return Err(RankingError::EarlierSeason { pk, season: ranking.season });
            }
            let events: Vec<_> = boundaries.iter().flat_map(|boundary| ranking.turn(boundary)).collect();
            for events in events.chunks(EVENTS_PER_MESSAGE).filter(|_| subscribed) {
                let (epoch, events) = (ranking.epoch.clone(), events.to_vec());
                self.feed_sender.deliver(FeedMessage::Events { pk, epoch, events });
            }
            Ok(ranking.version())
        })
    }

    async fn rename(
        &self,
        board: Board,
        user_id: &UserId,
        name: &DisplayName,
        event: Option<&str>,
    ) -> Result<Version, RankingError> {
        self.with(board.pk, |slot| {
            let (pk, subscribed) = (board.pk, slot.subscribed);
            let ranking = slot.ready_for(board)?;
            let renamed = ranking.name(user_id, name);
            let told = event.and_then(|body| ranking.announce_user(user_id, name.revision, body));
            let message = match told {
                Some(event) => Some(FeedMessage::Events { pk, epoch: ranking.epoch.clone(), events: vec![event] }),
                None => renamed.then_some(FeedMessage::Renamed { pk }),
            };
            message.into_iter().filter(|_| subscribed).for_each(|message| self.feed_sender.deliver(message));
            Ok(ranking.version())
        })
    }

    async fn head(&self, board: Board) -> Result<Head, RankingError> {
        self.with_ready(board, |ranking| ranking.head())
    }

    async fn window(&self, board: Board, from_rank: u64, limit: u64) -> Result<Window, RankingError> {
        self.with_ready(board, |ranking| ranking.window(board, from_rank, limit))
    }

    async fn neighbourhoods(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
    ) -> Result<(Head, Vec<Neighbourhood>), RankingError> {
        self.with_ready(board, |ranking| {
            let neighbourhoods = users.iter().map(|user| ranking.neighbourhood(board, user, around)).collect();
            (ranking.head(), neighbourhoods)
        })
    }

    async fn begin_rebuild(&self, board: Board, replaces: Replaces<'_>) -> Result<Begun, RankingError> {
        self.with(board.pk, |slot| {
            if replaces == Replaces::Deleted {
                slot.deleted = None;
            }
            let building = slot.rebuild.as_ref().filter(|building| building.expires > Instant::now());
            let seasons = [slot.ready.as_ref(), building.map(|building| &building.ranking)];
            let later = seasons.into_iter().flatten().any(|ranking| ranking.season > board.season);
            if slot.deleted.is_some() || (later && replaces != Replaces::Deleted) {
                return Ok(Begun::Gone);
            }
            let taken = building.is_some();
            let right = match slot.ready_for(board) {
                Ok(ranking) => replaces != Replaces::Wrong(&ranking.epoch),
                // Nothing is lost.
                Err(RankingError::EarlierSeason { .. }) => !matches!(replaces, Replaces::Wrong(_)),
                Err(_) => false,
            };
            if replaces != Replaces::Any && (taken || right) {
                return Ok(Begun::Elsewhere);
            }
            if matches!(replaces, Replaces::Wrong(_) | Replaces::Deleted) {
                slot.published.clear();
            }
            let token = uuid::Uuid::new_v4().simple().to_string();
            let ranking = Ranking::new(board.season, self.history_cap);
            slot.ready = None;
            slot.rebuild = Some(Building { token: token.clone(), expires: Instant::now() + LEASE, ranking });
            Ok(Begun::Yours(Rebuild { board, token, previous_epoch: slot.last_epoch.clone() }))
        })
    }

    async fn load(&self, rebuild: &Rebuild, entries: &[StoredEntry]) -> Result<(), RankingError> {
        self.with(rebuild.board.pk, |slot| {
            let building = slot.building(rebuild).ok_or(RankingError::Overtaken(rebuild.board.pk))?;
            entries.iter().for_each(|entry| building.ranking.load(rebuild.board, entry));
            building.expires = Instant::now() + LEASE;
            Ok(())
        })
    }

    async fn finish_rebuild(&self, rebuild: Rebuild, epoch: i64) -> Result<Version, RankingError> {
        let pk = rebuild.board.pk;
        self.with(pk, |slot| {
            if let Some(ranking) = slot.ready.as_ref().filter(|_| slot.built_by.as_ref() == Some(&rebuild.token)) {
                return Ok(Version::new(ranking.epoch.clone(), 0));
            }
            slot.building(&rebuild).ok_or(RankingError::Overtaken(pk))?;
            let building = slot.rebuild.take().ok_or(RankingError::Overtaken(pk))?;
            let epoch: Arc<str> = epoch_name(epoch).into();
            slot.last_epoch = Some(epoch.clone());
            slot.built_by = Some(building.token);
            slot.ready = Some(building.ranking.begin(epoch.clone()));
            if slot.subscribed {
                self.feed_sender.deliver(FeedMessage::Reset { pk, epoch: epoch.clone() });
            }
            Ok(Version::new(epoch, 0))
        })
    }

    async fn survey(&self, board: Board, events: usize) -> Result<Survey, RankingError> {
        self.with_ready(board, |ranking| ranking.survey(events))
    }

    async fn ping(&self) -> Result<(), RankingError> {
        Ok(())
    }

    async fn dump(&self, board: Board, from_rank: u64, limit: u64) -> Result<Vec<StoredEntry>, RankingError> {
        self.with_ready(board, |ranking| ranking.dump(board, from_rank, limit))
    }
}

impl MemoryRanking {
    fn publish_in(
        &self,
        slot: &mut Slot,
        board: Board,
        kind: EventKind,
        revision: i64,
        fields: &str,
    ) -> Result<Version, RankingError> {
        let (newest, subscribed) = (slot.published.get(&kind).copied().unwrap_or(0), slot.subscribed);
        let ranking = slot.ready_for(board)?;
        if revision <= newest {
            return Ok(ranking.version());
        }
        let event = ranking.tell(kind, 0, None, fields.to_owned());
        if subscribed {
            self.feed_sender.deliver(FeedMessage::Events { pk: board.pk, epoch: ranking.epoch.clone(), events: vec![event] });
        }
        let version = ranking.version();
        slot.published.insert(kind, revision);
        Ok(version)
    }

    /// Announced whatever the state of the ranking, because a ranking of a deleted leaderboard is not rebuilt for its last
    /// event; if no ranking is ready, under an epoch of its own.
    fn announce_deletion(&self, slot: &mut Slot, change: &DefinitionChange) -> Version {
        if let Some(version) = &slot.deleted {
            return version.clone();
        }
        let mut ranking = slot.ready.take().unwrap_or_else(|| {
            let epoch = epoch_after(self.clock.now(), slot.last_epoch.as_deref());
            Ranking::new(change.board.season, 0).begin(epoch)
        });
        let event = ranking.tell(change.kind(), 0, None, change.event.clone());
        let version = ranking.version();
        slot.rebuild = None;
        slot.deleted = Some(version.clone());
        if slot.subscribed {
            self.feed_sender.deliver(FeedMessage::Events { pk: change.board.pk, epoch: ranking.epoch, events: vec![event] });
        }
        version
    }
}

impl Slot {
    /// The construction that this rebuild owns; `None` if another rebuild has taken it over.
    fn building(&mut self, rebuild: &Rebuild) -> Option<&mut Building> {
        self.rebuild.as_mut().filter(|building| building.token == rebuild.token)
    }
}
