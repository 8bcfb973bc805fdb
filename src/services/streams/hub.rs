//! One watched leaderboard in this instance: what its connections and its task share.
//!
//! The task is `follower.rs`: it follows the feed, writes the topics, finds and fills gaps. Connections read the topics and never call it; they
//! note in their topic what they need (a fresh snapshot, older events), and the follower fetches it once for all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        ids::LeaderboardId,
        leaderboard::{Leaderboard, Visibility},
        time::{Clock, Timestamp},
        version::Version,
    },
    repositories::{
        feed::{Feed, FeedMessage},
        ranking_store::RankingStore,
    },
    services::{definitions::DefinitionCache, ranking_reader::RankingReader, rebuild::Rebuilder, views},
};

use super::{access::Access, frame::Frame, shared_views::SharedViews, topic::Topic};

/// Feed messages waiting for the hub. When full, further ones are dropped and the hub reads the history instead.
pub(super) const MESSAGES: usize = 1024;
/// Events kept in memory for connections; older ones are fetched from the feed's history for clients that resume. Holds the two
/// largest commits, so that no active reader falls out of it because of one burst.
pub(super) const RING: usize = 4096;

/// What hubs are made of.
pub struct Sources {
    pub ranking_store: Arc<dyn RankingStore>,
    pub feed: Arc<dyn Feed>,
    pub rankings: Arc<RankingReader>,
    pub rebuilder: Arc<Rebuilder>,
    pub definitions: Arc<DefinitionCache>,
    pub clock: Clock,
}

/// The part of a hub that connections and the registry see.
pub(super) struct Hub {
    pub leaderboard: Leaderboard,
    pub events: Arc<Topic>,
    pub shared_views: SharedViews,
    /// Wakes the hub's task.
    pub wake: Arc<Notify>,
    pub messages: mpsc::Sender<FeedMessage>,
    /// Messages may have been lost: the history has to be read.
    pub lost: AtomicBool,
    /// Connections of this instance.
    pub watchers: AtomicU64,
    /// Connections of all instances, as far as the feed has reported.
    pub all_watchers: AtomicU64,
    /// A client read it from memory since the last sweep.
    pub readers: AtomicBool,
    /// The feed delivers every change.
    pub followed: AtomicBool,
    pub closing: CancellationToken,
    access: Arc<Access>,
}

impl Hub {
    pub(super) fn new(leaderboard: Leaderboard) -> (Arc<Self>, mpsc::Receiver<FeedMessage>) {
        let (messages, receiver) = mpsc::channel(MESSAGES);
        let wake = Arc::new(Notify::new());
        let access = Arc::new(Access::of(&leaderboard));
        let hub = Self {
            leaderboard,
            events: Topic::new(RING, Duration::ZERO, Arc::clone(&wake), Arc::clone(&access)),
            shared_views: SharedViews::new(Arc::clone(&access)),
            wake,
            messages,
            lost: AtomicBool::new(false),
            watchers: AtomicU64::new(0),
            all_watchers: AtomicU64::new(0),
            readers: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            closing: CancellationToken::new(),
            access,
        };
        (Arc::new(hub), receiver)
    }

    /// Every topic of this leaderboard.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        let mut topics = self.shared_views.topics();
        topics.push(Arc::clone(&self.events));
        topics
    }

    /// Adopts what a definition says about who may read, and wakes waiting connections if that is new.
    pub(super) fn adopt_access(&self, visibility: Visibility, updated_at: Timestamp, confirmed: bool) {
        if self.access.adopt(visibility, updated_at, confirmed) {
            // A client that reconnects because of this starts from the newest state.
            self.events.forget_snapshot();
            self.topics().iter().for_each(|topic| topic.wake_all());
        }
    }

    /// Changes that this instance has missed may have made the leaderboard private: connections whose rights were not checked
    /// get nothing new until it is known.
    pub(super) fn doubt_access(&self) {
        self.access.doubt();
    }

    /// Only connections whose rights were checked may read.
    pub(super) fn is_private(&self) -> bool {
        self.access.is_private()
    }

    /// The number of watchers over all instances, as far as it is known here.
    pub(super) fn watchers_everywhere(&self) -> u64 {
        self.all_watchers.load(Ordering::Relaxed).max(self.watchers.load(Ordering::Relaxed))
    }

    /// A heartbeat: the newest position, and the number of watchers.
    pub(super) fn heartbeat(&self, now: Timestamp) -> Frame {
        heartbeat(Some(&self.leaderboard.id), self.events.position().as_ref(), now, self.watchers_everywhere())
    }

    /// Whether the hub's task has ended or is about to.
    pub(super) fn is_ending(&self) -> bool {
        self.closing.is_cancelled() || self.messages.is_closed()
    }

    /// The hub's task is gone, for whatever reason: so are its streams, and a client that reconnects finds a new hub.
    pub(super) fn abandon(&self) {
        self.followed.store(false, Ordering::Release);
        self.closing.cancel();
        self.shared_views.abandon();
        self.events.abandon();
    }

    /// Passes a message to the hub's task.
    pub(super) fn deliver(&self, message: FeedMessage) {
        if self.messages.try_send(message).is_err() {
            self.note_loss();
        }
    }

    /// Messages may be missing.
    pub(super) fn note_loss(&self) {
        self.lost.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// The event that shows a client that the connection is alive.
pub(super) fn heartbeat(
    leaderboard_id: Option<&LeaderboardId>,
    version: Option<&Version>,
    at: Timestamp,
    watchers: u64,
) -> Frame {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        leaderboard_id: Option<&'a LeaderboardId>,
        version: Option<&'a Version>,
        at: Timestamp,
        watchers: u64,
    }
    Frame::event(None, "heartbeat", &views::json(&Data { leaderboard_id, version, at, watchers }))
}
