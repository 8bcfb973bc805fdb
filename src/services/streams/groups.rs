//! Views that are states: `view=top` and `view=user`. Computed once per tick for everybody who watches the same thing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    domain::{
        entry::{Head, Neighbourhood, Window},
        ids::{LeaderboardId, UserId},
        leaderboard::Board,
    },
    repositories::{
        feed::{FeedEvent, FeedEventKind},
        standings::{Standings, StandingsError},
    },
    services::{
        error::ServiceError,
        rankings::Rankings,
        views::{self, PatchView, StandingView},
    },
};

use super::{frame::Frame, snapshot::State, topic::Topic};

/// Events that a slow reader may be behind before it gets the whole state instead.
const BACKLOG: usize = 16;
/// Users asked for in one call to the ranking.
const USERS_A_CALL: usize = 200;

/// What a group shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Top { limit: usize },
    User { user_id: UserId, around: u64 },
}

/// Everybody who watches the same subject at the same pace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    pub subject: Subject,
    pub hz: u8,
}

/// The topic of a group and what it showed last.
pub(super) struct Group {
    key: GroupKey,
    pub topic: Arc<Topic>,
    /// Connections; the group goes when it has had none for a while.
    pub watchers: AtomicUsize,
    shown: Mutex<Shown>,
}

struct Shown {
    /// Something may have changed since the last tick.
    dirty: bool,
    /// Something happened that was not worth a tick: version and total of what is shown are no longer the newest.
    behind: bool,
    /// Somebody came and has to see the newest version and total, even if nothing in the view has changed.
    renew: bool,
    /// No tick before this moment: what keeps the pace.
    next_at: Instant,
    leaderboard_id: Option<LeaderboardId>,
    window: Option<Arc<Window>>,
    standing: Option<(Head, Neighbourhood)>,
}

/// The groups of one leaderboard.
#[derive(Default)]
pub(super) struct Groups {
    open: Mutex<Open>,
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
    /// The group of this key, with one watcher more.
    pub(super) fn join(&self, key: GroupKey, hub: &Arc<Notify>) -> Arc<Group> {
        let mut open = self.open.lock();
        let Open { by_key, last, abandoned } = &mut *open;
        let group = by_key.entry(key.clone()).or_insert_with(|| {
            let shown = Shown {
                dirty: true,
                behind: false,
                renew: false,
                next_at: Instant::now(),
                leaderboard_id: None,
                window: None,
                standing: None,
            };
            let topic = Topic::new(BACKLOG, Arc::clone(hub));
            last.iter().for_each(|frame| topic.end(frame.clone()));
            if *abandoned {
                topic.abandon();
            }
            Arc::new(Group { key, topic, watchers: AtomicUsize::new(0), shown: Mutex::new(shown) })
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
    pub(super) fn touch(&self, events: &[FeedEvent]) {
        for group in self.open.lock().by_key.values() {
            let touched = match group.key.subject {
                Subject::Top { limit } => events.iter().any(|event| touches_top(event, limit as u64)),
                Subject::User { .. } => events.iter().any(|event| event.kind == FeedEventKind::Score),
            };
            let mut shown = group.shown.lock();
            shown.behind = true;
            shown.dirty |= touched;
        }
    }

    /// Anything may have changed what any group shows.
    pub(super) fn touch_all(&self) {
        self.open.lock().by_key.values().for_each(|group| group.shown.lock().dirty = true);
    }

    /// Shows again what was shown last: there will be nothing newer for a while.
    pub(super) fn show_last(&self) {
        self.open.lock().by_key.values().for_each(|group| group.try_again());
    }

    /// When the next tick is due; `None` while nothing has changed.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let open = self.open.lock();
        open.by_key.values().map(|group| group.shown.lock()).filter(|shown| shown.dirty).map(|shown| shown.next_at).min()
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
            due.iter().for_each(|group| group.try_again());
        }
        result
    }
}

fn touches_top(event: &FeedEvent, limit: u64) -> bool {
    event.kind == FeedEventKind::Score && event.previous_rank.unwrap_or(u64::MAX).min(event.rank) <= limit
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

impl Group {
    fn take_due(&self, now: Instant) -> bool {
        let mut shown = self.shown.lock();
        let due = shown.dirty && shown.next_at <= now;
        if due {
            (shown.dirty, shown.behind) = (false, false);
            shown.next_at = now + Duration::from_secs(1) / u32::from(self.key.hz);
        }
        due
    }

    /// Sees to it that whoever comes now starts from the newest state. If a tick is due anyway, they wait for it; if the last one was only
    /// just, they see its outcome and what follows by the next.
    fn renew(&self) {
        let mut shown = self.shown.lock();
        if shown.behind {
            (shown.dirty, shown.renew) = (true, true);
            if shown.next_at <= Instant::now() {
                self.topic.forget_snapshot();
            }
        }
    }

    /// The ranking gave no answer: what was shown last is shown again, and asked for again later.
    fn try_again(&self) {
        let mut shown = self.shown.lock();
        (shown.dirty, shown.behind) = (true, true);
        if let Some(state) = self.state(&shown) {
            self.topic.restore_snapshot(state);
        }
    }

    fn state(&self, shown: &Shown) -> Option<State> {
        let id = shown.leaderboard_id.clone()?;
        let window = shown.window.clone().map(|window| State::Window { leaderboard_id: id.clone(), window });
        window.or_else(|| shown.standing.as_ref().map(|(head, found)| State::Encoded(standing_frame(&id, head, found))))
    }

    fn show_window(&self, leaderboard_id: &LeaderboardId, widest: &Window) {
        let Subject::Top { limit } = self.key.subject else { return };
        let entries = widest.entries.iter().take(limit).cloned().collect();
        let new = Arc::new(Window { head: widest.head.clone(), entries });
        let mut shown = self.shown.lock();
        let renew = std::mem::take(&mut shown.renew);
        let state = State::Window { leaderboard_id: leaderboard_id.clone(), window: Arc::clone(&new) };
        match shown.window.clone() {
            Some(old) if epoch(&old.head) == epoch(&new.head) => {
                let patch = PatchView::between(leaderboard_id, &old, &new);
                // For the sake of newcomers a patch without rows takes everybody to the newest version: there is one chain for all.
                if patch.is_empty() && !(renew && old.head != new.head) {
                    shown.behind = old.head != new.head;
                    self.topic
                        .restore_snapshot(State::Window { leaderboard_id: leaderboard_id.clone(), window: Arc::clone(&old) });
                    return;
                }
                let frame = Frame::event(new.head.version.as_ref(), "leaderboard-patch", &views::json(&patch));
                self.topic.advance(frame, state);
            }
            _ => self.topic.begin(epoch(&new.head), 1, Some(state)),
        }
        (shown.window, shown.leaderboard_id) = (Some(new), Some(leaderboard_id.clone()));
    }

    fn show_standing(&self, leaderboard_id: &LeaderboardId, head: &Head, new: Neighbourhood) {
        let mut shown = self.shown.lock();
        let renew = std::mem::take(&mut shown.renew);
        let old = shown.standing.as_ref();
        if let Some((old_head, old)) = old.filter(|(old_head, old)| *old == new && epoch(old_head) == epoch(head))
            && !(renew && old_head != head)
        {
            self.topic.restore_snapshot(State::Encoded(standing_frame(leaderboard_id, old_head, old)));
            shown.behind = old_head != head;
            return;
        }
        let frame = standing_frame(leaderboard_id, head, &new);
        match old {
            Some(_) => self.topic.advance(frame.clone(), State::Encoded(frame)),
            None => self.topic.begin(epoch(head), 1, Some(State::Encoded(frame))),
        }
        (shown.standing, shown.leaderboard_id) = (Some((head.clone(), new)), Some(leaderboard_id.clone()));
    }
}

fn standing_frame(leaderboard_id: &LeaderboardId, head: &Head, found: &Neighbourhood) -> Frame {
    Frame::event(head.version.as_ref(), "standing", &views::json(&StandingView::new(leaderboard_id, head, found)))
}

fn epoch(head: &Head) -> Arc<str> {
    head.version.as_ref().map_or_else(|| "".into(), |version| Arc::clone(&version.epoch))
}
