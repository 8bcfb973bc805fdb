//! Views that are states: `view=top` and `view=user`. Computed once per tick for all watchers of the same view.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    domain::{
        entry::Head,
        event::{Event, SeasonEnded},
        ids::{LeaderboardId, UserId},
        leaderboard::Board,
        version::Version,
    },
    repositories::ranking_store::{RankingError, RankingStore},
    services::{
        error::ServiceError,
        ranking_reader::RankingReader,
        views::{self, StandingView},
    },
};

use super::{
    access::Access,
    frame::Frame,
    news::FreshNews,
    shared_view::{SharedView, SharedViewKey, ViewSubject},
    snapshot::State,
    topic::Topic,
};

/// The most events that a slow reader may be behind before it gets the whole state instead.
const BACKLOG: usize = 16;
/// How long the end of a season waits for the last standings of those who watch a user.
const STANDINGS_PATIENCE: Duration = Duration::from_secs(1);
/// Users requested in one call to the ranking.
const USERS_A_CALL: usize = 200;

/// The shared views of one leaderboard.
pub(super) struct SharedViews {
    open: Mutex<Open>,
    access: Arc<Access>,
}

#[derive(Default)]
struct Open {
    by_key: HashMap<SharedViewKey, Arc<SharedView>>,
    /// Set when the leaderboard is gone: a new watcher gets it at once.
    last: Option<Frame>,
    /// The hub is gone.
    abandoned: bool,
}

impl SharedViews {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { open: Mutex::default(), access }
    }

    /// The shared view of this key, with one more watcher.
    pub(super) fn join(&self, key: SharedViewKey, hub: &Arc<Notify>) -> Arc<SharedView> {
        let mut open = self.open.lock();
        let Open { by_key, last, abandoned } = &mut *open;
        let shared_view = by_key.entry(key.clone()).or_insert_with(|| {
            let topic = Topic::new(BACKLOG, key.spread(), Arc::clone(hub), Arc::clone(&self.access));
            last.iter().for_each(|frame| topic.end(frame.clone()));
            if *abandoned {
                topic.abandon();
            }
            Arc::new(SharedView::new(key, topic))
        });
        shared_view.watchers.fetch_add(1, Ordering::AcqRel);
        shared_view.renew();
        hub.notify_one();
        Arc::clone(shared_view)
    }

    /// See [`SharedView::forget_last`].
    pub(super) fn forget_last(&self) {
        self.open.lock().by_key.values().for_each(|shared_view| shared_view.forget_last());
    }

    /// Every shared view's topic.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        self.open.lock().by_key.values().map(|shared_view| Arc::clone(&shared_view.topic)).collect()
    }

    /// The topics of windows for which a client waits that has seen nothing.
    pub(super) fn waiting_tops(&self) -> Vec<Arc<Topic>> {
        let open = self.open.lock();
        let tops = open.by_key.values().filter(|shared_view| matches!(shared_view.key.subject, ViewSubject::Top { .. }));
        tops.filter(|shared_view| shared_view.topic.wants_provisional())
            .map(|shared_view| Arc::clone(&shared_view.topic))
            .collect()
    }

    /// Shows what the ledger knows to clients that watch a user and have seen nothing.
    pub(super) async fn show_ledger_to_users(
        &self,
        rankings: &RankingReader,
        board: Board,
        leaderboard_id: &LeaderboardId,
    ) -> Result<(), ServiceError> {
        let shared_views: Vec<_> =
            self.open.lock().by_key.values().filter(|shared_view| shared_view.topic.wants_provisional()).cloned().collect();
        for (around, watched) in users_by_distance(&shared_views) {
            for some in watched.chunks(USERS_A_CALL) {
                let users: Vec<UserId> = some.iter().map(|(_, user_id)| (*user_id).clone()).collect();
                let (head, found) = rankings.neighbourhoods(board, &users, around).await?.value;
                for ((shared_view, _), neighbourhood) in some.iter().zip(found).filter(|_| head.version.is_none()) {
                    let data = views::json(&StandingView::new(leaderboard_id, &head, &neighbourhood));
                    shared_view.topic.offer_provisional(State::Encoded(Frame::event(None, "standing", &data)));
                }
            }
        }
        Ok(())
    }

    /// A season of this board has ended: tells every watcher, those of a user with the standing at its end.
    pub(super) async fn end_season(&self, rankings: &RankingReader, board: Board, version: &Version, event: &Event) {
        let open: Vec<_> = self.open.lock().by_key.values().cloned().collect();
        let outdated: Vec<_> = open.iter().filter(|shared_view| shared_view.is_outdated()).cloned().collect();
        let deadline = Instant::now() + STANDINGS_PATIENCE;
        let last = Version::new(Arc::clone(&version.epoch), version.seq - 1);
        'standings: for (around, watched) in users_by_distance(&outdated) {
            for some in watched.chunks(USERS_A_CALL) {
                let users: Vec<UserId> = some.iter().map(|(_, user_id)| (*user_id).clone()).collect();
                let asked = rankings.past_neighbourhoods(board, &users, around, event.total);
                // If the ledger does not answer in time, what was shown last is the best that is known.
                let Ok(Ok((head, found))) = timeout_at(deadline, asked).await else { break 'standings };
                let head = Head { version: Some(last.clone()), ..head };
                for ((shared_view, _), neighbourhood) in some.iter().zip(found) {
                    shared_view.keep_standing(head.clone(), neighbourhood);
                }
            }
        }
        let (fields, entries) = event.fields_and_more();
        let entries: Vec<&RawValue> = serde_json::from_str(entries.unwrap_or("[]")).unwrap_or_default();
        let known = SeasonEnded::without_entries(fields);
        open.iter().for_each(|shared_view| shared_view.end_season(version, event, known, &entries));
    }

    /// The season after it has begun: tells every watcher, and shows it empty.
    pub(super) fn begin_season(&self, frame: &Frame, head: &Head) {
        for shared_view in self.open.lock().by_key.values() {
            shared_view.topic.append([frame.clone()]);
            shared_view.begin_season(head);
        }
    }

    /// The last event, for all present and future shared views.
    pub(super) fn end(&self, frame: &Frame) {
        let mut open = self.open.lock();
        open.last = Some(frame.clone());
        open.by_key.values().for_each(|shared_view| shared_view.topic.end(frame.clone()));
    }

    /// Nothing computes the shared views any more, present or future.
    pub(super) fn abandon(&self) {
        let mut open = self.open.lock();
        open.abandoned = true;
        open.by_key.values().for_each(|shared_view| shared_view.topic.abandon());
    }

    /// Removes shared views without a watcher.
    pub(super) fn sweep(&self) {
        self.open.lock().by_key.retain(|_, shared_view| shared_view.watchers.load(Ordering::Acquire) > 0);
    }

    /// These events may have changed what some shared views show.
    pub(super) fn touch(&self, epoch: &Arc<str>, season: i64, events: &[Event]) {
        let open = self.open.lock();
        let latest = open.by_key.values().map(|shared_view| shared_view.latest()).max().unwrap_or(0);
        let news = FreshNews::of(epoch, season, events, latest);
        open.by_key.values().for_each(|shared_view| shared_view.touch(events, &news));
    }

    /// Anything may have changed what any shared view shows.
    pub(super) fn touch_all(&self) {
        self.open.lock().by_key.values().for_each(|shared_view| shared_view.touch_all());
    }

    /// Hides from new watchers what was shown last.
    pub(super) fn hide_last(&self) {
        self.open.lock().by_key.values().for_each(|shared_view| shared_view.hide_last());
    }

    /// Shows new watchers what was shown last: nothing newer is known.
    pub(super) fn show_last(&self) {
        self.open.lock().by_key.values().for_each(|shared_view| shared_view.show_last());
    }

    /// When the next tick is due; `None` while nothing has changed.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let open = self.open.lock();
        open.by_key.values().filter_map(|shared_view| shared_view.due_at()).min()
    }

    /// Computes the shared views that are due and updates their watchers. One call to the ranking for all tops, one per 200
    /// users and distance.
    pub(super) async fn tick(
        &self,
        ranking_store: &dyn RankingStore,
        board: Board,
        leaderboard_id: &LeaderboardId,
    ) -> Result<(), RankingError> {
        let now = Instant::now();
        let due: Vec<_> = {
            let open = self.open.lock();
            open.by_key.values().for_each(|shared_view| shared_view.tell_news(leaderboard_id, now));
            open.by_key.values().filter(|shared_view| shared_view.take_due(now)).cloned().collect()
        };
        let result = tick_groups(&due, ranking_store, board, leaderboard_id).await;
        if result.is_err() {
            due.iter().for_each(|shared_view| shared_view.postpone());
        }
        result
    }
}

async fn tick_groups(
    due: &[Arc<SharedView>],
    ranking_store: &dyn RankingStore,
    board: Board,
    leaderboard_id: &LeaderboardId,
) -> Result<(), RankingError> {
    let widest = due
        .iter()
        .filter_map(|shared_view| if let ViewSubject::Top { limit, .. } = shared_view.key.subject { Some(limit) } else { None })
        .max();
    if let Some(widest) = widest {
        let window = ranking_store.window(board, 1, widest as u64).await?;
        due.iter().for_each(|shared_view| shared_view.show_window(leaderboard_id, &window));
    }
    for (around, watched) in users_by_distance(due) {
        for some in watched.chunks(USERS_A_CALL) {
            let users: Vec<UserId> = some.iter().map(|(_, user_id)| (*user_id).clone()).collect();
            let (head, found) = ranking_store.neighbourhoods(board, &users, around).await?;
            for ((shared_view, _), neighbourhood) in some.iter().zip(found) {
                shared_view.show_standing(leaderboard_id, &head, neighbourhood);
            }
        }
    }
    Ok(())
}

/// The shared views that watch a user, by how many neighbours they show.
fn users_by_distance(shared_views: &[Arc<SharedView>]) -> HashMap<u64, Vec<(&Arc<SharedView>, &UserId)>> {
    let mut by_distance: HashMap<u64, Vec<(&Arc<SharedView>, &UserId)>> = HashMap::new();
    for shared_view in shared_views {
        if let ViewSubject::User { user_id, around } = &shared_view.key.subject {
            by_distance.entry(*around).or_default().push((shared_view, user_id));
        }
    }
    by_distance
}
