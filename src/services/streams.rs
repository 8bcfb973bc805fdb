//! The live streams: who may open one, which shared log it reads, and how all of them end.
//!
//! `hub.rs` follows one leaderboard for this instance, `topic.rs` is the shared log that connections read, `shared_views.rs`
//! computes the views that are states, `event_stream.rs` is one connection.

mod access;
pub mod admission;
mod cursor;
mod drain;
mod event_stream;
mod expiry;
mod follower;
pub mod frame;
mod hub;
mod log;
mod measures;
mod news;
mod shared_view;
mod shared_views;
mod snapshot;
#[cfg(test)]
mod tests;
mod ties;
mod topic;
mod wakers;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    domain::{
        caller::{Caller, Credential, Permission},
        ids::{LeaderboardId, UserId},
        leaderboard::Leaderboard,
        version::Version,
    },
    repositories::feed::FeedMessage,
};

use super::{credentials::Credentials, tokens::time_left};
use admission::Admission;
use cursor::Cursor;
use drain::{DRAIN_STEP, DRAIN_STEPS, Drain};
use event_stream::Part;
pub use event_stream::{EventStream, Handover, busy_body};
use expiry::Expiries;
use follower::Follower;
use hub::Hub;
pub use hub::Sources;
use shared_view::{SharedViewKey, ViewSubject};
use ties::Ties;

/// How long at least a leaderboard is followed after its last watcher or reader left: browsers that reconnect find its state in
/// memory.
const LINGER: Duration = Duration::from_secs(15);
/// How long the hubs may take to unsubscribe from the feed when the server shuts down.
const SIGN_OFF: Duration = Duration::from_secs(1);

/// What a stream shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Every event, after a snapshot of up to `limit` entries or after a version; `Err` is a version that can only lead to a
    /// reset.
    Events { limit: usize, resume: Option<Result<Version, ()>> },
    /// The first entries, at most `hz` times a second, and at most so often up to `latest` of the newest scores.
    Top { limit: usize, hz: u8, latest: usize },
    /// One user's standing, at most `hz` times a second.
    User { user_id: UserId, around: u64, hz: u8 },
}

/// What a stream is about.
#[derive(Debug)]
pub enum Watched {
    /// One leaderboard, with versions to resume from.
    One(Box<Leaderboard>, View),
    /// Several, each with its view. Versions have no meaning there, and ids are left out.
    Several(Vec<(Leaderboard, View)>),
}

/// A leaderboard that is followed, or whose hub is about to end.
struct Followed {
    hub: Arc<Hub>,
    /// Rounds of the sweep in which it had neither watcher nor reader.
    idle_rounds: u8,
    task: JoinHandle<()>,
}

/// A leaderboard that is followed for readers that do not watch it.
pub struct Following(Arc<Hub>);

impl Following {
    /// Whether every change is reported to the rankings' [`Changes`](super::changes::Changes) as soon as the feed announces it.
    pub fn is_live(&self) -> bool {
        self.0.followed.load(Ordering::Acquire)
    }

    /// It is no longer followed, and will not be again.
    pub fn is_over(&self) -> bool {
        self.0.is_ending()
    }

    /// It still has a reader, so it remains followed.
    pub fn note_reader(&self) {
        self.0.readers.store(true, Ordering::Relaxed);
    }
}

/// See the module's documentation.
pub struct Streams {
    sources: Arc<Sources>,
    /// Followed leaderboards by incarnation.
    hubs: Mutex<HashMap<i64, Followed>>,
    drain: Arc<Drain>,
    expiries: Arc<Expiries>,
    ties: Arc<Ties>,
    credentials: Arc<Credentials>,
    /// Decides who may open a stream.
    pub admission: Arc<Admission>,
}

impl Streams {
    pub fn new(sources: Sources, credentials: Arc<Credentials>, admission: Arc<Admission>) -> Arc<Self> {
        let sources = Arc::new(sources);
        let (hubs, drain, expiries, ties) = Default::default();
        Arc::new(Self { sources, hubs, drain, expiries, ties, credentials, admission })
    }

    /// Follows a leaderboard for as long as it has readers; `None` while the server shuts down.
    pub fn follow(&self, leaderboard: &Leaderboard) -> Option<Following> {
        let following = || Following(self.hub(leaderboard.clone(), |hub| hub.readers.store(true, Ordering::Relaxed)));
        (!self.drain.has_begun()).then(following)
    }

    /// The number of watchers of each public leaderboard that this instance follows, over all instances, by id.
    pub fn watched(&self) -> Vec<(LeaderboardId, u64)> {
        let hubs: Vec<_> = self.hubs.lock().values().map(|followed| Arc::clone(&followed.hub)).collect();
        let (definitions, now) = (self.sources.definitions.current(), std::time::Instant::now());
        let shown = |hub: &Hub| {
            let present = definitions.leaderboard(hub.leaderboard.id.as_str()).filter(|present| present.pk == hub.leaderboard.pk);
            present.is_some_and(|present| self.sources.definitions.is_public(present, now))
        };
        let mut watched: Vec<_> =
            hubs.iter().filter(|hub| shown(hub)).map(|hub| (hub.leaderboard.id.clone(), hub.watchers_everywhere())).collect();
        watched.sort();
        watched
    }

    /// A stream of this caller over one leaderboard, or over several that share a connection; it ends with `season`, if one is given,
    /// and with the caller's credential: once that has expired, private leaderboards are no longer shown, and once it was ended, nothing.
    pub fn open(&self, caller: &Caller, watched: Watched, season: Option<i64>, admitted: admission::Admitted) -> EventStream {
        const READ: Permission = Permission::ReadPrivate;
        let until = caller.principal().filter(|_| caller.may(READ)).map(|reader| Instant::now() + time_left(reader));
        let tied = caller.principal().filter(|principal| principal.credential != Credential::Token);
        let (watched, with_ids) = match watched {
            Watched::One(leaderboard, view) => (vec![(*leaderboard, view)], true),
            Watched::Several(watched) => (watched, false),
        };
        let leaving = self.drain.has_begun();
        let parts = watched.into_iter().filter(|_| !leaving).map(|(leaderboard, view)| {
            let (visibility, updated_at) = (leaderboard.settings.visibility, leaderboard.updated_at);
            let hub = self.join(leaderboard);
            // The definition that admitted the caller may be newer than the one that the hub knows, or older.
            hub.adopt_access(visibility, updated_at, false);
            let entitled = caller.may_on(READ, hub.leaderboard.id.as_str());
            let part = part(hub, view, with_ids, entitled, season).expiring(until.filter(|_| entitled), &self.expiries);
            part.tied_to(tied, &self.ties)
        });
        let (drain, step, clock) = (Arc::clone(&self.drain), fastrand::u8(0..DRAIN_STEPS), self.sources.clock.clone());
        EventStream::new(parts.collect(), drain, step, until, clock, admitted)
    }

    /// Notifies streams when their credentials have expired or were ended, for as long as it is polled.
    pub async fn expire(self: Arc<Self>) {
        tokio::join!(self.expiries.watch(), self.ties.watch(&self.credentials));
    }

    /// Refuses new streams and ends the open ones, spread over about three seconds.
    pub async fn drain(&self) {
        for step in 1..=DRAIN_STEPS + 2 {
            self.drain.set(step);
            let hubs: Vec<_> = self.hubs.lock().values().map(|followed| Arc::clone(&followed.hub)).collect();
            hubs.iter().flat_map(|hub| hub.topics()).for_each(|topic| topic.wake_all());
            if self.admission.open() == 0 {
                break;
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
        let tasks: Vec<_> = self.hubs.lock().drain().map(|(_, followed)| followed.close()).collect();
        tokio::time::timeout(SIGN_OFF, futures_util::future::join_all(tasks)).await.ok();
    }

    /// Passes the feed's messages to the hubs for as long as the feed lives.
    pub async fn distribute(self: Arc<Self>, messages: Arc<tokio::sync::Mutex<mpsc::Receiver<FeedMessage>>>) {
        let mut messages = messages.lock().await;
        while let Some(message) = messages.recv().await {
            self.count(&message);
            let hubs = self.hubs.lock();
            match &message {
                FeedMessage::Lost => {
                    metrics::counter!("scoreboard_feed_losses_total").increment(1);
                    hubs.values().for_each(|followed| followed.hub.note_loss());
                }
                FeedMessage::Definitions { revision, change } => {
                    self.sources.definitions.take(*revision, *change);
                    // Streams that were open to everybody have to end if they may no longer be.
                    hubs.values().for_each(|followed| followed.hub.wake.notify_one());
                }
                FeedMessage::Behind { pk, row } => self.sources.rebuilder.note_behind(*pk, *row),
                FeedMessage::Holder => self.sources.definitions.doubt(),
                FeedMessage::Events { pk, .. } | FeedMessage::Renamed { pk } | FeedMessage::Reset { pk, .. } => {
                    if let Some(followed) = hubs.get(pk) {
                        followed.hub.deliver(message);
                    }
                }
            }
        }
    }

    /// Counts the change for the caches that serve reads from memory.
    fn count(&self, message: &FeedMessage) {
        let changes = &self.sources.rankings.changes;
        match message {
            FeedMessage::Events { pk, epoch, events } => {
                let newest = events.last().map(|event| Version::new(Arc::clone(epoch), event.seq));
                newest.iter().for_each(|newest| changes.told(*pk, newest));
            }
            FeedMessage::Renamed { pk } => changes.untold(*pk),
            FeedMessage::Reset { pk, epoch } => changes.told(*pk, &Version::new(Arc::clone(epoch), 0)),
            FeedMessage::Lost => changes.lost(),
            FeedMessage::Definitions { .. } | FeedMessage::Behind { .. } | FeedMessage::Holder => {}
        }
    }

    /// Stops following leaderboards that have no more watchers or readers, for as long as it is polled.
    pub async fn sweep(self: Arc<Self>) {
        let mut rounds = tokio::time::interval(LINGER);
        loop {
            rounds.tick().await;
            let mut hubs = self.hubs.lock();
            hubs.retain(|_, followed| {
                let read = followed.hub.readers.swap(false, Ordering::Relaxed);
                let idle = followed.hub.watchers.load(Ordering::Acquire) == 0 && !read;
                followed.idle_rounds = if idle { followed.idle_rounds.saturating_add(1) } else { 0 };
                if followed.idle_rounds >= 2 {
                    followed.hub.closing.cancel();
                }
                // It stays until it has unsubscribed: a successor has to wait for that.
                !followed.task.is_finished()
            });
            metrics::gauge!("scoreboard_leaderboards_followed").set(hubs.len() as f64);
        }
    }

    /// The hub of a leaderboard, with one more watcher.
    fn join(&self, leaderboard: Leaderboard) -> Arc<Hub> {
        let hub = self.hub(leaderboard, |hub| {
            hub.watchers.fetch_add(1, Ordering::AcqRel);
        });
        hub.wake.notify_one();
        hub
    }

    /// The hub of a leaderboard, started if there is none. `enter` notes why it is needed before it can be found idle.
    fn hub(&self, leaderboard: Leaderboard, enter: impl FnOnce(&Hub)) -> Arc<Hub> {
        let mut hubs = self.hubs.lock();
        let pk = leaderboard.pk;
        // A hub that is ending accepts nobody new. Its successor waits until it has unsubscribed from the feed, which would
        // otherwise end the successor's subscription.
        let ending = hubs.get(&pk).is_some_and(|followed| followed.hub.is_ending());
        let predecessor = if ending { hubs.remove(&pk).map(|followed| followed.task) } else { None };
        let followed = hubs.entry(pk).or_insert_with(|| {
            let (hub, messages) = Hub::new(leaderboard);
            let follower = Follower::new(Arc::clone(&hub), Arc::clone(&self.sources), messages);
            let task = tokio::spawn(async move {
                if let Some(predecessor) = predecessor {
                    predecessor.await.ok();
                }
                follower.run().await;
            });
            Followed { hub, idle_rounds: 0, task }
        });
        followed.idle_rounds = 0;
        enter(&followed.hub);
        Arc::clone(&followed.hub)
    }
}

/// The watcher that was counted in the hub, with its view.
fn part(hub: Arc<Hub>, view: View, with_ids: bool, entitled: bool, season: Option<i64>) -> Part {
    let cursor = |limit, resume| Cursor::new(limit, resume, with_ids, entitled).until_the_end_of(season);
    let (subject, limit, hz) = match view {
        View::Events { limit, resume } => return Part::new(hub, None, cursor(limit, resume)),
        View::Top { limit, hz, latest } => (ViewSubject::Top { limit, latest }, limit, hz),
        View::User { user_id, around, hz } => (ViewSubject::User { user_id, around }, 0, hz),
    };
    let shared_view = hub.shared_views.join(SharedViewKey { subject, hz }, &hub.wake);
    Part::new(hub, Some(shared_view), cursor(limit, None))
}

impl Followed {
    fn close(self) -> JoinHandle<()> {
        self.hub.closing.cancel();
        self.task
    }
}
