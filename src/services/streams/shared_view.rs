//! One view of one leaderboard at one rate: what it showed last, and whether that may have changed.

mod season;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    domain::{
        entry::{Head, Neighbourhood, Window},
        event::Event,
        ids::{LeaderboardId, UserId},
    },
    services::views::{self, PatchView, StandingView, WindowView},
};

use super::{
    frame::Frame,
    news::{FreshNews, PendingNews},
    snapshot::State,
    topic::Topic,
};

/// The greatest delay of the last of many watchers behind the first.
const LONGEST_SPREAD: Duration = Duration::from_millis(135);

/// What a shared view shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ViewSubject {
    /// The first entries, and with each tick the newest scores, up to `latest`.
    Top {
        limit: usize,
        latest: usize,
    },
    User {
        user_id: UserId,
        around: u64,
    },
}

/// Identifies the watchers of the same subject at the same rate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SharedViewKey {
    pub subject: ViewSubject,
    pub hz: u8,
}

impl SharedViewKey {
    /// The shortest time between two ticks.
    fn period(&self) -> Duration {
        Duration::from_secs(1) / u32::from(self.hz)
    }

    /// The time over which a tick's frame is spread to the watchers: most of a tick, so that scores and their receipts find a
    /// gap, and not so long that anybody would notice.
    pub(super) fn spread(&self) -> Duration {
        (self.period() * 2 / 3).min(LONGEST_SPREAD)
    }
}

/// The topic of a shared view and what it showed last.
pub(super) struct SharedView {
    pub key: SharedViewKey,
    pub topic: Arc<Topic>,
    /// Connections; the shared view is removed when it has had none for a while.
    pub watchers: AtomicUsize,
    shown: Mutex<Shown>,
}

struct Shown {
    /// Something may have changed since the last tick.
    dirty: bool,
    /// Something happened that was not worth a tick: the version and total shown are no longer the newest.
    behind: bool,
    /// A new watcher has to see the newest version and total, even if nothing in the view has changed.
    renew: bool,
    /// No tick before this moment: this limits the rate.
    next_at: Instant,
    leaderboard_id: Option<LeaderboardId>,
    window: Option<Arc<Window>>,
    standing: Option<(Head, Neighbourhood)>,
    /// What has happened since the last tick, for views that show the newest scores.
    news: PendingNews,
    /// They are of a season that has ended: nobody starts from them.
    ended: bool,
}

impl Shown {
    /// Whether this event may change what is shown. A move shifts everybody between the old rank and the new one, and a
    /// newcomer everybody behind; a new profile affects only its own rank. Users at other ranks are not computed again, however
    /// busy the leaderboard is.
    fn touched_by(&self, event: &Event, subject: &ViewSubject) -> bool {
        let Some((first, last)) = event.ranks() else { return false };
        match subject {
            ViewSubject::Top { limit, .. } => first <= *limit as u64,
            ViewSubject::User { around, .. } => match self.standing.as_ref().map(|(_, found)| &found.entry) {
                None => true,
                // Only a first score can be this user's.
                Some(None) => event.previous_rank.is_none(),
                Some(Some(entry)) => entry.rank + around >= first && entry.rank.saturating_sub(*around) <= last,
            },
        }
    }
}

impl SharedView {
    pub(super) fn new(key: SharedViewKey, topic: Arc<Topic>) -> Self {
        let shown = Shown {
            dirty: true,
            behind: false,
            renew: false,
            next_at: Instant::now(),
            leaderboard_id: None,
            window: None,
            standing: None,
            news: PendingNews::default(),
            ended: false,
        };
        Self { key, topic, watchers: AtomicUsize::new(0), shown: Mutex::new(shown) }
    }

    /// How many of the newest scores it shows.
    pub(super) fn latest(&self) -> usize {
        if let ViewSubject::Top { latest, .. } = self.key.subject { latest } else { 0 }
    }

    /// These events may have changed what it shows; `news` is what they add to the newest scores.
    pub(super) fn touch(&self, events: &[Event], news: &FreshNews) {
        let mut shown = self.shown.lock();
        shown.news.take(news, self.latest());
        shown.behind = true;
        shown.dirty = shown.dirty || events.iter().any(|event| shown.touched_by(event, &self.key.subject));
    }

    /// Anything may have changed what it shows.
    pub(super) fn touch_all(&self) {
        self.shown.lock().dirty = true;
    }

    /// When its next tick is due; `None` while nothing has changed.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let shown = self.shown.lock();
        (shown.dirty || !shown.news.is_empty()).then_some(shown.next_at)
    }

    /// Tells of the newest scores if a tick is due, whether or not the window has to be looked at.
    pub(super) fn tell_news(&self, leaderboard_id: &LeaderboardId, now: Instant) {
        let mut shown = self.shown.lock();
        // Nobody is told of a score before the window that it followed.
        if shown.news.is_empty() || shown.next_at > now || (shown.window.is_none() && shown.dirty) {
            return;
        }
        let data = shown.news.drain(leaderboard_id);
        if !shown.dirty {
            shown.next_at = now + self.key.period();
        }
        drop(shown);
        self.topic.append_notice(Frame::event(None, "latest-scores", &data));
    }

    pub(super) fn take_due(&self, now: Instant) -> bool {
        let mut shown = self.shown.lock();
        let due = shown.dirty && shown.next_at <= now;
        if due {
            (shown.dirty, shown.behind) = (false, false);
            shown.next_at = now + self.key.period();
        }
        due
    }

    /// Makes sure that new watchers start from the newest state. If a tick is due anyway, they wait for it; if the last one was
    /// only just now, they see its result, and what follows with the next one.
    pub(super) fn renew(&self) {
        let mut shown = self.shown.lock();
        if shown.behind {
            (shown.dirty, shown.renew) = (true, true);
            if shown.next_at <= Instant::now() {
                self.topic.forget_snapshot();
            }
        }
    }

    /// What was shown last has somebody who is not to be seen any more: new watchers wait for the next tick.
    pub(super) fn forget_last(&self) {
        let mut shown = self.shown.lock();
        (shown.dirty, shown.renew) = (true, true);
        self.topic.forget_snapshot();
    }

    /// The ranking gave no answer: it is queried again later.
    pub(super) fn postpone(&self) {
        let mut shown = self.shown.lock();
        (shown.dirty, shown.behind) = (true, true);
    }

    /// The ranking gives no answers, and what was shown last may be outdated: new watchers must not start from it.
    pub(super) fn hide_last(&self) {
        self.postpone();
        self.topic.forget_snapshot();
    }

    /// New watchers start from what was shown last after all: nothing newer is known.
    pub(super) fn show_last(&self) {
        if let Some(state) = self.state(&self.shown.lock()) {
            self.topic.restore_snapshot(state);
        }
    }

    fn state(&self, shown: &Shown) -> Option<State> {
        let id = shown.leaderboard_id.clone().filter(|_| !shown.ended)?;
        let window = shown.window.clone().map(|window| State::Window { leaderboard_id: id.clone(), window });
        window.or_else(|| shown.standing.as_ref().map(|(head, found)| State::Encoded(standing_frame(&id, head, found))))
    }

    pub(super) fn show_window(&self, leaderboard_id: &LeaderboardId, widest: &Window) {
        let ViewSubject::Top { limit, .. } = self.key.subject else { return };
        let entries = widest.entries.iter().take(limit).cloned().collect();
        let new = Arc::new(Window { head: widest.head.clone(), entries });
        let mut shown = self.shown.lock();
        let renew = std::mem::take(&mut shown.renew);
        shown.ended = false;
        let state = State::Window { leaderboard_id: leaderboard_id.clone(), window: Arc::clone(&new) };
        match shown.window.clone() {
            Some(old) if epoch(&old.head) == epoch(&new.head) && old.head.season != new.head.season => {
                let view = WindowView::new(leaderboard_id, &new, limit, false);
                self.topic.advance(Frame::event(new.head.version.as_ref(), "leaderboard", &views::json(&view)), state);
            }
            Some(old) if epoch(&old.head) == epoch(&new.head) => {
                let patch = PatchView::between(leaderboard_id, &old, &new);
                // For new watchers, a patch without rows takes all connections to the newest version: there is one chain for
                // all.
                if patch.is_empty() && !(renew && old.head != new.head) {
                    shown.behind = old.head != new.head;
                    self.topic
                        .restore_snapshot(State::Window { leaderboard_id: leaderboard_id.clone(), window: Arc::clone(&old) });
                    return;
                }
                let frame = Frame::event(new.head.version.as_ref(), "leaderboard-patch", &views::json(&patch));
                self.topic.advance(frame, state);
            }
            _ => self.topic.begin(epoch(&new.head), new.head.season, 1, Some(state)),
        }
        (shown.window, shown.leaderboard_id) = (Some(new), Some(leaderboard_id.clone()));
    }

    /// Whether anything has happened, be it elsewhere on the leaderboard, since it was shown last.
    pub(super) fn is_outdated(&self) -> bool {
        let shown = self.shown.lock();
        shown.dirty || shown.behind
    }

    pub(super) fn show_standing(&self, leaderboard_id: &LeaderboardId, head: &Head, new: Neighbourhood) {
        let mut shown = self.shown.lock();
        let renew = std::mem::take(&mut shown.renew);
        shown.ended = false;
        let old = shown.standing.as_ref();
        if let Some((old_head, old)) = old.filter(|(of, old)| *old == new && epoch(of) == epoch(head) && of.season == head.season)
            && !(renew && old_head != head)
        {
            self.topic.restore_snapshot(State::Encoded(standing_frame(leaderboard_id, old_head, old)));
            shown.behind = old_head != head;
            return;
        }
        let frame = standing_frame(leaderboard_id, head, &new);
        match old {
            Some(_) => self.topic.advance(frame.clone(), State::Encoded(frame)),
            None => self.topic.begin(epoch(head), head.season, 1, Some(State::Encoded(frame))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{entry::RankedEntry, event::EventKind, time::Timestamp},
        services::streams::access::Access,
    };

    fn event(rank: u64, previous_rank: Option<u64>) -> Event {
        Event { seq: 1, kind: EventKind::ScoreUpdated, rank, previous_rank, total: 99, fields: String::new() }
    }

    #[test]
    fn a_standing_is_computed_again_only_if_somebody_moved_past() {
        let user_id = UserId::parse("ann").unwrap();
        let subject = ViewSubject::User { user_id: user_id.clone(), around: 2 };
        let shared_view = SharedView::new(
            SharedViewKey { subject: subject.clone(), hz: 5 },
            Topic::new(4, Duration::ZERO, Arc::default(), Access::open()),
        );
        let touched = |event| shared_view.shown.lock().touched_by(&event, &subject);
        assert!(touched(event(50, Some(60))), "nothing is known yet");

        let head = Head { season: 1, version: None, total: 99 };
        let entry = RankedEntry::new(10, user_id.clone(), None, 7, Timestamp(1));
        let standing = |entry: Option<RankedEntry>| Neighbourhood { user_id: user_id.clone(), entry, around: vec![] };
        shared_view.shown.lock().standing = Some((head.clone(), standing(Some(entry))));
        for (rank, previous, expected) in [
            (12, Some(12), true),
            (13, Some(13), false),
            (8, Some(8), true),
            (7, Some(7), false),
            (1, Some(99), true),
            (3, Some(8), true),
            (3, Some(7), false),
            (13, Some(40), false),
            (5, None, true),
            (12, None, true),
            (13, None, false),
        ] {
            assert_eq!(touched(event(rank, previous)), expected, "{rank} from {previous:?}");
        }
        shared_view.shown.lock().standing = Some((head, standing(None)));
        assert!(touched(event(50, None)));
        assert!(!touched(event(1, Some(2))));
    }
}
