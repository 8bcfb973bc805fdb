//! The ranking cache: rank of, window, around, in O(log n). It can be lost at any time and is rebuilt from the ledger.
//!
//! Two implementations behave alike (one contract suite runs over both): `redis`, shared by any number of instances, and
//! `memory`, for one. Services hold it as `Arc<dyn RankingStore>`. Every answer is read from one consistent state and carries
//! that state's version.
//!
//! A ranking is *ready* from the end of one rebuild until it is lost (flushed, evicted, restarted, replaced by a replica) or
//! until the next rebuild begins. While it is not ready every call returns [`RankingError::Unready`] and nothing is changed: no
//! rank is ever read from a ranking that may be incomplete.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::{
    announcement::{Change, DefinitionChange},
    entry::{DisplayName, Head, Neighbourhood, StoredEntry, Window},
    event::EventKind,
    ids::UserId,
    leaderboard::Board,
    season::Boundary,
    time::Timestamp,
    version::Version,
};

use super::epoch::earliest_epoch;

/// How long a rebuild keeps its lease after the last renewal. A live owner renews it every second; a dead one blocks the others
/// for no longer than this.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// Why the ranking gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RankingError {
    /// The ranking is reachable but incomplete or absent: a rebuild is due or in progress.
    #[error("the ranking of leaderboard {0} has to be rebuilt")]
    Unready(i64),
    /// The ranking has gone on to this season, later than the one asked for. Nothing is lost: what was asked for is the ledger's to know.
    #[error("the ranking of leaderboard {pk} is of season {season}")]
    LaterSeason { pk: i64, season: i64 },
    /// The ranking is complete and of this season, earlier than the one asked for: it goes on as soon as everything of the earlier
    /// one is announced.
    #[error("the ranking of leaderboard {pk} is still of season {season}")]
    EarlierSeason { pk: i64, season: i64 },
    /// The cache did not answer in time. The call may or may not have been carried out; all calls may be repeated.
    #[error("the ranking is out of reach: {0}")]
    Unreachable(String),
    /// The cache answers, and refuses: no memory, no disk, too few replicas, no permission. All calls may be repeated.
    #[error("the ranking refuses: {0}")]
    Refused(String),
    /// Another rebuild of the same ranking took over.
    #[error("the rebuild of leaderboard {0} was overtaken by another one")]
    Overtaken(i64),
}

impl RankingError {
    /// Whether a rebuild has to look into it: it builds what is lost, and replaces a later season that the ledger, set back, does not know.
    pub fn calls_for_a_rebuild(&self) -> bool {
        matches!(self, Self::Unready(_) | Self::LaterSeason { .. })
    }
}

/// The outcome of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The change was applied now, to the ranking and to the stream. `version` is its own position; the ranks are those just
    /// before and at that very version, `rank` being 0 if it removed the entry.
    Ranked { version: Version, rank: u64, previous_rank: Option<u64>, total: u64 },
    /// The ranking holds this revision or a later one already, and its event has been announced (or fell into a new epoch). The
    /// rank is the present one, 0 for none, at the present version; `revision` is the one that is held.
    Known { version: Version, rank: u64, total: u64, revision: i64 },
    /// An earlier revision of this entry has not arrived yet (another instance is about to announce it): nothing was changed,
    /// try again shortly. `held` is the revision that has arrived; 0 for none.
    Early { version: Version, held: i64 },
    /// The ranking holds this very revision with another score or time: another ledger fed it, or this one did before it was
    /// set back. Nothing was changed.
    Conflict { version: Version },
}

impl Applied {
    /// The ranking's version at that moment.
    pub fn version(&self) -> &Version {
        match self {
            Self::Ranked { version, .. } | Self::Known { version, .. } => version,
            Self::Early { version, .. } | Self::Conflict { version } => version,
        }
    }
}

/// See the module's documentation.
#[async_trait]
pub trait RankingStore: Send + Sync {
    /// The name of this store in `Cache-Status`: `memory` or `redis`.
    fn name(&self) -> &'static str;

    /// Whether a call leaves this process, so that the call itself costs more than what it requests.
    fn is_remote(&self) -> bool;

    /// Applies changes of one board in order. For each change, atomically: accepts it only if its revision is exactly one more
    /// than the one held (0 for an absent entry), inserts or removes the entry, allots the next sequence number, and appends an
    /// [`Event`](crate::domain::event::Event) of the change's kind to the board's feed. One outcome per change, in order.
    async fn apply(&self, board: Board, changes: &[Change]) -> Result<Vec<Applied>, RankingError>;

    /// Announces a change of the definition: allots a sequence number and appends an event of its kind, once per definition
    /// revision; a revision that is not newer changes nothing and returns the present version. A deletion removes the whole
    /// ranking after it is announced; it is announced even if the ranking is not ready, then under an epoch of its own, because
    /// a deleted leaderboard is never rebuilt.
    async fn announce_definition(&self, change: &DefinitionChange) -> Result<Version, RankingError>;

    /// Publishes an event that moves nobody and of which nothing is kept here but its revision: allots a sequence number and appends it, once per
    /// revision of its kind; a revision that is not newer changes nothing and answers the present version.
    async fn publish(&self, board: Board, kind: EventKind, revision: i64, fields: &str) -> Result<Version, RankingError>;

    /// Turns a ranking over to the next season at each of these boundaries, in their order: announces the end, drops the entries,
    /// and announces the beginning, in the same epoch. A boundary that it has passed changes nothing. Returns the version then.
    /// `EarlierSeason` if the first of them is not next.
    async fn turn(&self, pk: i64, boundaries: &[Boundary]) -> Result<Version, RankingError>;

    /// Renames a user in one board where the name's revision is newer than the one held, and tells the `event`, once per revision, whether or not a
    /// score has brought the name already: allots a sequence number and appends a `UserChanged` event. Without an event it only tells
    /// the feed's subscribers by [`FeedMessage::Renamed`](super::feed::FeedMessage::Renamed). Answers the version then.
    async fn rename(
        &self,
        board: Board,
        user_id: &UserId,
        name: &DisplayName,
        event: Option<&str>,
    ) -> Result<Version, RankingError>;

    /// Version, season and number of entries.
    async fn head(&self, board: Board) -> Result<Head, RankingError>;

    /// Up to `limit` entries from rank `from_rank` (1 is the best) downwards.
    async fn window(&self, board: Board, from_rank: u64, limit: u64) -> Result<Window, RankingError>;

    /// For each user: its entry, and up to `around` entries on each side of it. All from one state.
    async fn neighbourhoods(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
    ) -> Result<(Head, Vec<Neighbourhood>), RankingError>;

    /// Begins a rebuild: from now on the ranking is not ready, and its contents are dropped, if `replaces` permits that.
    async fn begin_rebuild(&self, board: Board, replaces: Replaces<'_>) -> Result<Begun, RankingError>;

    /// Adds entries to the ranking under construction and renews the lease; without entries it only renews the lease. An
    /// entry's user id comes once per rebuild.
    async fn load(&self, rebuild: &Rebuild, entries: &[StoredEntry]) -> Result<(), RankingError>;

    /// Makes the ranking under construction the ready one, at sequence 0 of this epoch (a number from
    /// [`Rebuild::earliest_epoch`] on), with an empty history. Notifies subscribers by
    /// [`FeedMessage::Reset`](super::feed::FeedMessage::Reset).
    async fn finish_rebuild(&self, rebuild: Rebuild, epoch: i64) -> Result<Version, RankingError>;

    /// The present version, and the newest score events: up to `events` of them, newest first, as far as they are stored.
    async fn survey(&self, board: Board, events: usize) -> Result<Survey, RankingError>;

    /// Whether the store answers and accepts writes; within a short time-out.
    async fn ping(&self) -> Result<(), RankingError>;

    /// Entries in ranking order, for `scoreboard verify`: up to `limit` from rank `from_rank`, with revision and name.
    async fn dump(&self, board: Board, from_rank: u64, limit: u64) -> Result<Vec<StoredEntry>, RankingError>;
}

/// What a rebuild may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces<'a> {
    /// A ranking that is not ready and that no instance is rebuilding.
    Lost,
    /// Any ranking, also one that another instance is rebuilding.
    Any,
    /// The ranking of this epoch, because it proved wrong; not one that was built since.
    Wrong(&'a str),
    /// A lost one, also where the deletion of its leaderboard was announced, or a later season: the ledger says otherwise.
    Deleted,
}

/// The outcome of a request to rebuild a ranking.
#[derive(Debug, Clone)]
pub enum Begun {
    /// This process holds the lease now.
    Yours(Rebuild),
    /// Another instance is rebuilding it, or has done so: its lease lapses some seconds after its last renewal.
    Elsewhere,
    /// The leaderboard was deleted, or a later season is held or being built: there is nothing to rebuild, whoever asks.
    Gone,
}

/// What is known of a ranking without reading its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    pub version: Version,
    pub total: u64,
    /// Newest first.
    pub newest_events: Vec<Uuid>,
    /// Whether it was built by a release that puts pictures and countries into rows.
    pub has_appearances: bool,
}

/// A rebuild whose lease this process holds.
#[derive(Debug, Clone)]
pub struct Rebuild {
    pub board: Board,
    /// Random; a rebuild whose token differs from the store's has been overtaken.
    pub token: String,
    /// The epoch that was dropped, if the store knew one: the next one has to be greater.
    pub previous_epoch: Option<Arc<str>>,
}

impl Rebuild {
    /// The first epoch that the rebuilt ranking may have: of the present time, or right after the previous one if the clock is
    /// behind it.
    pub fn earliest_epoch(&self, now: Timestamp) -> i64 {
        earliest_epoch(now, self.previous_epoch.as_deref())
    }
}

/// Whether a ranking has to store this name. That a user has none needs no row, unless it revokes a name that may still be in
/// flight: a user's first revision has none before it.
pub(super) fn worth_keeping(name: &DisplayName) -> bool {
    name.name.is_some() || name.appearance.is_some() || name.revision > 1
}
