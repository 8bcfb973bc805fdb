//! The live streams: who may open one, which shared log it reads, and how all of them end.
//!
//! `hub.rs` follows one leaderboard for this instance, `topic.rs` is the shared log that connections read, `groups.rs` computes the views that are
//! states, `event_stream.rs` is one connection.

pub mod admission;
mod event_stream;
mod frame;
mod groups;
mod hub;
mod topic;
mod wakers;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    domain::{ids::UserId, leaderboard::Leaderboard, position::Version, time::Clock},
    repositories::{
        feed::{Feed, FeedMessage},
        standings::Standings,
    },
};

use super::{definitions::DefinitionCache, rankings::Rankings, rebuild::Rebuilder};
use admission::Admission;
use event_stream::Part;
pub use event_stream::{EventStream, busy_body};
use groups::{GroupKey, Subject};
use hub::{Follower, Hub, Sources};

/// How long a leaderboard is followed after its last watcher left, at least: browsers that reconnect find it warm.
const LINGER: Duration = Duration::from_secs(15);
/// Streams end spread over this many steps when the server shuts down, so that clients do not all come back in the same moment.
const DRAIN_STEPS: u8 = 20;
const DRAIN_STEP: Duration = Duration::from_millis(150);

/// What a stream shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Every event, after a snapshot of so many entries or after a position; `Err` is a position that can only be reset.
    Events { limit: usize, resume: Option<Result<Version, ()>> },
    /// The first entries, at most so often a second.
    Top { limit: usize, hz: u8 },
    /// One user's standing, at most so often a second.
    User { user_id: UserId, around: u64, hz: u8 },
}

/// Counts up while the server shuts down; a connection ends when it reaches the connection's own step.
#[derive(Default)]
pub(crate) struct Drain(AtomicU8);

impl Drain {
    fn reached(&self, step: u8) -> bool {
        self.0.load(Ordering::Acquire) > step
    }
}

/// See the module's documentation.
pub struct Streams {
    sources: Arc<Sources>,
    /// Followed leaderboards by incarnation, with the number of rounds they have had no watcher.
    hubs: Mutex<HashMap<i64, (Arc<Hub>, u8)>>,
    drain: Arc<Drain>,
    /// Who may open a stream.
    pub admission: Arc<Admission>,
}

impl Streams {
    pub fn new(
        standings: Arc<dyn Standings>,
        feed: Arc<dyn Feed>,
        rankings: Arc<Rankings>,
        rebuilder: Arc<Rebuilder>,
        definitions: Arc<DefinitionCache>,
        clock: Clock,
        admission: Arc<Admission>,
    ) -> Arc<Self> {
        let sources = Arc::new(Sources { standings, feed, rankings, rebuilder, definitions, clock });
        Arc::new(Self { sources, hubs: Mutex::default(), drain: Arc::default(), admission })
    }

    /// A stream over one or several leaderboards, each with its view. With several, positions mean nothing and ids are left out.
    pub fn open(&self, watched: Vec<(Leaderboard, View)>, admitted: admission::Admitted) -> EventStream {
        let with_ids = watched.len() == 1;
        let parts = watched.into_iter().map(|(leaderboard, view)| self.part(leaderboard, view, with_ids)).collect();
        EventStream::new(parts, Arc::clone(&self.drain), fastrand::u8(0..DRAIN_STEPS), admitted)
    }

    /// Stops new streams from staying and ends the open ones, spread over about three seconds.
    pub async fn drain(&self) {
        for step in 1..=DRAIN_STEPS + 2 {
            self.drain.0.store(step, Ordering::Release);
            let hubs: Vec<_> = self.hubs.lock().values().map(|(hub, _)| Arc::clone(hub)).collect();
            hubs.iter().flat_map(|hub| hub.topics()).for_each(|topic| topic.wake_all());
            if self.admission.open() == 0 {
                break;
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
        self.hubs.lock().drain().for_each(|(_, (hub, _))| hub.closing.cancel());
    }

    /// Hands the feed's messages to the hubs for as long as the feed lives.
    pub async fn distribute(self: Arc<Self>, mut messages: mpsc::Receiver<FeedMessage>) {
        while let Some(message) = messages.recv().await {
            let hubs = self.hubs.lock();
            match &message {
                FeedMessage::Lost => {
                    metrics::counter!("scoreboard_feed_losses_total").increment(1);
                    hubs.values().for_each(|(hub, _)| hub.note_loss());
                }
                FeedMessage::Events { pk, .. } | FeedMessage::Renamed { pk } | FeedMessage::Reset { pk, .. } => {
                    if let Some((hub, _)) = hubs.get(pk) {
                        hub.deliver(message);
                    }
                }
            }
        }
    }

    /// Stops following leaderboards that nobody watches any more, for as long as it is polled.
    pub async fn sweep(self: Arc<Self>) {
        let mut rounds = tokio::time::interval(LINGER);
        loop {
            rounds.tick().await;
            let mut hubs = self.hubs.lock();
            hubs.retain(|_, (hub, idle_rounds)| {
                *idle_rounds = if hub.watchers.load(Ordering::Acquire) == 0 { *idle_rounds + 1 } else { 0 };
                let keep = *idle_rounds < 2;
                if !keep {
                    hub.closing.cancel();
                }
                keep
            });
            metrics::gauge!("scoreboard_streams_open").set(self.admission.open() as f64);
            metrics::gauge!("scoreboard_leaderboards_followed").set(hubs.len() as f64);
        }
    }

    fn part(&self, leaderboard: Leaderboard, view: View, with_ids: bool) -> Part {
        let hub = self.join(leaderboard);
        match view {
            View::Events { limit, resume } => Part::new(hub, None, limit, resume, with_ids),
            View::Top { limit, hz } => {
                let group = hub.groups.join(GroupKey { subject: Subject::Top { limit }, hz }, &hub.wake);
                Part::new(hub, Some(group), limit, None, with_ids)
            }
            View::User { user_id, around, hz } => {
                let subject = Subject::User { user_id, around };
                let group = hub.groups.join(GroupKey { subject, hz }, &hub.wake);
                Part::new(hub, Some(group), 0, None, with_ids)
            }
        }
    }

    /// The hub of a leaderboard, started where there is none, with one watcher more.
    fn join(&self, leaderboard: Leaderboard) -> Arc<Hub> {
        let mut hubs = self.hubs.lock();
        let pk = leaderboard.pk;
        // A hub that has ended (its leaderboard was deleted) is of no use to anybody new.
        if hubs.get(&pk).is_some_and(|(hub, _)| hub.messages.is_closed()) {
            hubs.remove(&pk);
        }
        let (hub, idle_rounds) = hubs.entry(pk).or_insert_with(|| {
            let (hub, messages) = Hub::new(leaderboard);
            tokio::spawn(Follower::new(Arc::clone(&hub), Arc::clone(&self.sources), messages).run());
            (hub, 0)
        });
        *idle_rounds = 0;
        hub.watchers.fetch_add(1, Ordering::AcqRel);
        hub.wake.notify_one();
        Arc::clone(hub)
    }
}
