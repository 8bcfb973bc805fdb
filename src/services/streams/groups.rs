//! Views that are states: `view=top` and `view=user`. Computed once per tick for everybody who watches the same thing.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    domain::{
        event::Event,
        ids::{LeaderboardId, UserId},
        leaderboard::Board,
    },
    repositories::standings::{Standings, StandingsError},
    services::{
        error::ServiceError,
        rankings::Rankings,
        views::{self, StandingView},
    },
};

use super::{
    access::Access,
    frame::Frame,
    group::{Group, GroupKey, Subject},
    snapshot::State,
    topic::Topic,
};

/// Events that a slow reader may be behind before it gets the whole state instead.
const BACKLOG: usize = 16;
/// Users asked for in one call to the ranking.
const USERS_A_CALL: usize = 200;

/// The groups of one leaderboard.
pub(super) struct Groups {
    open: Mutex<Open>,
    access: Arc<Access>,
}

#[derive(Default)]
struct Open {
    by_key: HashMap<GroupKey, Arc<Group>>,
    /// The leaderboard is gone: whoever joins from now on is told at once.
    last: Option<Frame>,
    /// The hub is gone.
    abandoned: bool,
}

impl Groups {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { open: Mutex::default(), access }
    }

    /// The group of this key, with one watcher more.
    pub(super) fn join(&self, key: GroupKey, hub: &Arc<Notify>) -> Arc<Group> {
        let mut open = self.open.lock();
        let Open { by_key, last, abandoned } = &mut *open;
        let group = by_key.entry(key.clone()).or_insert_with(|| {
            let topic = Topic::new(BACKLOG, key.spread(), Arc::clone(hub), Arc::clone(&self.access));
            last.iter().for_each(|frame| topic.end(frame.clone()));
            if *abandoned {
                topic.abandon();
            }
            Arc::new(Group::new(key, topic))
        });
        group.watchers.fetch_add(1, Ordering::AcqRel);
        group.renew();
        hub.notify_one();
        Arc::clone(group)
    }

    /// Every group's topic.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        self.open.lock().by_key.values().map(|group| Arc::clone(&group.topic)).collect()
    }

    /// The topics of windows that somebody waits for who has seen nothing.
    pub(super) fn waiting_tops(&self) -> Vec<Arc<Topic>> {
        let open = self.open.lock();
        let tops = open.by_key.values().filter(|group| matches!(group.key.subject, Subject::Top { .. }));
        tops.filter(|group| group.topic.wants_provisional()).map(|group| Arc::clone(&group.topic)).collect()
    }

    /// Shows what the ledger knows to those who watch a user and have seen nothing.
    pub(super) async fn show_ledger_to_users(
        &self,
        rankings: &Rankings,
        board: Board,
        leaderboard_id: &LeaderboardId,
    ) -> Result<(), ServiceError> {
        let groups: Vec<_> = self.open.lock().by_key.values().filter(|group| group.topic.wants_provisional()).cloned().collect();
        for (around, watched) in users_by_distance(&groups) {
            for some in watched.chunks(USERS_A_CALL) {
                let users: Vec<UserId> = some.iter().map(|(_, user_id)| (*user_id).clone()).collect();
                let (head, found) = rankings.neighbourhoods(board, &users, around).await?.value;
                for ((group, _), neighbourhood) in some.iter().zip(found).filter(|_| head.version.is_none()) {
                    let data = views::json(&StandingView::new(leaderboard_id, &head, &neighbourhood));
                    group.topic.offer_provisional(State::Encoded(Frame::event(None, "standing", &data)));
                }
            }
        }
        Ok(())
    }

    /// The last event, for all groups there are and will be.
    pub(super) fn end(&self, frame: &Frame) {
        let mut open = self.open.lock();
        open.last = Some(frame.clone());
        open.by_key.values().for_each(|group| group.topic.end(frame.clone()));
    }

    /// Nobody computes the groups any more, those there are and those there will be.
    pub(super) fn abandon(&self) {
        let mut open = self.open.lock();
        open.abandoned = true;
        open.by_key.values().for_each(|group| group.topic.abandon());
    }

    /// Groups without a watcher are forgotten.
    pub(super) fn sweep(&self) {
        self.open.lock().by_key.retain(|_, group| group.watchers.load(Ordering::Acquire) > 0);
    }

    /// These events may have changed what some groups show.
    pub(super) fn touch(&self, events: &[Event]) {
        self.open.lock().by_key.values().for_each(|group| group.touch(events));
    }

    /// Anything may have changed what any group shows.
    pub(super) fn touch_all(&self) {
        self.open.lock().by_key.values().for_each(|group| group.touch_all());
    }

    /// Shows nobody who comes now what was shown last.
    pub(super) fn hide_last(&self) {
        self.open.lock().by_key.values().for_each(|group| group.hide_last());
    }

    /// Shows those who come now what was shown last: nobody knows anything newer.
    pub(super) fn show_last(&self) {
        self.open.lock().by_key.values().for_each(|group| group.show_last());
    }

    /// When the next tick is due; `None` while nothing has changed.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let open = self.open.lock();
        open.by_key.values().filter_map(|group| group.due_at()).min()
    }

    /// Computes the groups that are due and tells their watchers. One call to the ranking for all tops, one per 200 users and distance.
    pub(super) async fn tick(
        &self,
        standings: &dyn Standings,
        board: Board,
        leaderboard_id: &LeaderboardId,
    ) -> Result<(), StandingsError> {
        let now = Instant::now();
        let due: Vec<_> = self.open.lock().by_key.values().filter(|group| group.take_due(now)).cloned().collect();
        let result = tick_groups(&due, standings, board, leaderboard_id).await;
        if result.is_err() {
            due.iter().for_each(|group| group.postpone());
        }
        result
    }
}

async fn tick_groups(
    due: &[Arc<Group>],
    standings: &dyn Standings,
    board: Board,
    leaderboard_id: &LeaderboardId,
) -> Result<(), StandingsError> {
    let widest =
        due.iter().filter_map(|group| if let Subject::Top { limit } = group.key.subject { Some(limit) } else { None }).max();
    if let Some(widest) = widest {
        let window = standings.window(board, 1, widest as u64).await?;
        due.iter().for_each(|group| group.show_window(leaderboard_id, &window));
    }
    for (around, watched) in users_by_distance(due) {
        for some in watched.chunks(USERS_A_CALL) {
            let users: Vec<UserId> = some.iter().map(|(_, user_id)| (*user_id).clone()).collect();
            let (head, found) = standings.neighbourhoods(board, &users, around).await?;
            for ((group, _), neighbourhood) in some.iter().zip(found) {
                group.show_standing(leaderboard_id, &head, neighbourhood);
            }
        }
    }
    Ok(())
}

/// The groups that watch a user, by how many neighbours they show.
fn users_by_distance(groups: &[Arc<Group>]) -> HashMap<u64, Vec<(&Arc<Group>, &UserId)>> {
    let mut by_distance: HashMap<u64, Vec<(&Arc<Group>, &UserId)>> = HashMap::new();
    for group in groups {
        if let Subject::User { user_id, around } = &group.key.subject {
            by_distance.entry(*around).or_default().push((group, user_id));
        }
    }
    by_distance
}
