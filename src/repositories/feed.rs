//! The ordered, resumable feed of changes. Written by [`RankingStore`](super::ranking_store::RankingStore) in the same atomic
//! step that changes the ranking; read here.
//!
//! Two implementations: `redis` (`PUBLISH` for speed, a capped stream beside it for gaps and resumption; one subscription
//! connection per instance) and `memory`. Delivery of [`FeedMessage`]s is fire-and-forget: the receiver compares sequence
//! numbers, and fills gaps by [`Feed::history`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::ranking_store::RankingError;
use crate::domain::event::Event;

pub(super) mod feed_sender;

/// A message to a subscriber.
#[derive(Debug, Clone)]
pub enum FeedMessage {
    /// Consecutive events of one board of one epoch.
    Events { pk: i64, epoch: Arc<str>, events: Vec<Event> },
    /// A display name changed in this board, without a position of its own: published by the previous release, or on its
    /// behalf.
    Renamed { pk: i64 },
    /// The board was rebuilt: a new epoch begins at sequence 0.
    Reset { pk: i64, epoch: Arc<str> },
    /// The definitions now have this revision; `change` is `None` if the message does not say what has changed.
    Definitions { revision: i64, change: Option<AccessChange> },
    /// Another instance could not announce the changes in this outbox row: this board's ranking lacks them until the row is gone.
    Behind { pk: i64, row: i64 },
    /// An instance has put a new token there that says which ledger owns the rankings: perhaps another ledger's.
    Holder,
    /// Messages of any board may have been lost: the connection was interrupted, or the subscriber was too slow.
    Lost,
}

/// Who may read a leaderboard, starting with a revision of the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessChange {
    pub pk: i64,
    pub readers: Readers,
}

/// See [`AccessChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    Everybody,
    /// Callers whose token grants it.
    Entitled,
    /// It was deleted.
    Nobody,
}

/// A section of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub epoch: Arc<str>,
    /// The newest sequence number at the time of reading.
    pub head: u64,
    /// Consecutive events after the requested position, oldest first. If `events` is empty although `head` is later than that
    /// position, or does not start right after it, the events in between are no longer stored.
    pub events: Vec<Event>,
}

/// See the module's documentation.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Takes the only receiver of all subscribed boards' messages; a second call returns `None`. The channel is bounded; when
    /// the receiver is too slow, messages are dropped and [`FeedMessage::Lost`] follows as soon as there is room.
    fn take_messages(&self) -> Option<mpsc::Receiver<FeedMessage>>;

    /// Subscribes to a board's messages. When it returns, every later change is delivered (or `Lost` is).
    async fn subscribe(&self, pk: i64) -> Result<(), RankingError>;

    /// Ends [`Feed::subscribe`].
    async fn unsubscribe(&self, pk: i64);

    /// Up to `limit` consecutive events after sequence number `after`.
    async fn history(&self, pk: i64, after: u64, limit: usize) -> Result<History, RankingError>;

    /// Records the number of this instance's watchers on a board (0 removes the record), and returns how many all live
    /// instances have. A record that is not renewed within 30 s no longer counts.
    async fn report_watchers(&self, pk: i64, watchers: u64) -> Result<u64, RankingError>;

    /// How many watchers all live instances have on each of these boards.
    async fn watchers(&self, pks: &[i64]) -> Result<Vec<u64>, RankingError>;

    /// The newest revision of the definitions that any instance has announced; `None` if there is no other instance. With
    /// `announce`, it is at least that revision, and if that is new, or a change is given, every instance gets
    /// [`FeedMessage::Definitions`], without having subscribed to anything.
    async fn definitions(&self, announce: Option<(i64, Option<AccessChange>)>) -> Result<Option<i64>, RankingError>;

    /// Sends every instance [`FeedMessage::Behind`]. Must not be relied on: an instance that is not reached learns of it from
    /// the outbox.
    async fn report_behind(&self, pk: i64, row: i64);
}
