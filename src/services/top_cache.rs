//! Caches the encoded first entries of leaderboards until a change is known: this is what most readers request.
//!
//! An answer is cached if the board's feed was followed from before the ranking was queried. It is served to other readers only
//! while no change has been announced since ([`Changed`]): a reader sees what this instance wrote, and what another instance
//! wrote as soon as the feed announces it. If the feed fails to announce it, for whatever reason, the answer expires after a
//! quarter of a second. Of many readers who miss the cache, one queries the ranking and the others share its answer, unless it
//! queried before they came and something has changed since.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use tokio::{sync::Mutex, time::timeout};

use crate::domain::{leaderboard::Leaderboard, version::Version};

use super::{
    changes::Changed,
    encoded::Encoded,
    error::ServiceError,
    ranking_reader::{RankingReader, Served, Source, reached},
    streams::{Following, Streams},
    views::{self, WindowView},
};

/// The greatest age of an answer, however quiet the feed is.
const AGE: Duration = Duration::from_millis(250);
/// How long a reader waits for another reader's query before it queries itself.
const PATIENCE: Duration = Duration::from_millis(500);
/// Boards whose answers are cached. When full, all are dropped.
const BOARDS: usize = 512;
/// Limits of one board whose answers are cached. When full, expired answers are evicted; if none are, all.
const LIMITS: usize = 16;
/// How often expired answers are evicted, so that a rush of readers does not fill the memory permanently.
const UPKEEP: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub struct TopCache {
    rankings: Arc<RankingReader>,
    streams: Arc<Streams>,
    /// By incarnation. At most [`BOARDS`].
    boards: RwLock<HashMap<i64, Arc<Top>>>,
}

/// The answers of one board.
struct Top {
    changed: Arc<Changed>,
    /// A reader came before. A board that is read only once is not followed.
    known: AtomicBool,
    following: ArcSwapOption<Following>,
    /// By limit. At most [`LIMITS`].
    slots: RwLock<HashMap<u64, Arc<Slot>>>,
}

/// The newest answer for one limit.
#[derive(Default)]
struct Slot {
    kept: ArcSwapOption<Kept>,
    /// Held by the reader that queries the ranking.
    asking: Mutex<()>,
}

/// A cached answer, and what decides whether it is still valid.
struct Kept {
    encoded: Arc<Encoded>,
    version: Option<Version>,
    /// The definition under which it was queried.
    definition: Definition,
    /// The board's change counter before the ranking was queried.
    changes: u64,
    /// `None` if the feed was not followed or the ranking did not answer: then the answer serves only the readers that waited
    /// for it.
    following: Option<Arc<Following>>,
    asked: Instant,
}

/// Revision and season of a leaderboard.
type Definition = (i64, i64);

fn definition(leaderboard: &Leaderboard) -> Definition {
    (leaderboard.revision, leaderboard.season)
}

/// What a reader needs an answer to contain.
struct Needed<'a> {
    changes: u64,
    definition: Definition,
    version: Option<&'a Version>,
    now: Instant,
}

impl Kept {
    fn will_do(&self, needed: &Needed<'_>) -> bool {
        let age = needed.now.saturating_duration_since(self.asked);
        let fresh = match &self.following {
            Some(following) => age < AGE && following.is_live(),
            None => needed.now <= self.asked,
        };
        fresh
            && self.changes >= needed.changes
            && self.definition == needed.definition
            && needed.version.is_none_or(|needed| self.version.as_ref().is_some_and(|version| reached(version, needed)))
    }
}

impl Slot {
    /// Whether its answer is still valid, or is being queried.
    fn is_of_use(&self, now: Instant) -> bool {
        let young = |kept: &Arc<Kept>| now.saturating_duration_since(kept.asked) < AGE;
        self.asking.try_lock().is_err() || self.kept.load().as_ref().is_some_and(young)
    }

    fn kept(&self, needed: &Needed<'_>) -> Option<Arc<Encoded>> {
        let kept = self.kept.load();
        kept.as_ref().filter(|kept| kept.will_do(needed)).map(|kept| Arc::clone(&kept.encoded))
    }
}

impl TopCache {
    pub fn new(rankings: Arc<RankingReader>, streams: Arc<Streams>) -> Self {
        Self { rankings, streams, boards: RwLock::default() }
    }

    /// The first `limit` entries if they are cached; queries nothing.
    pub fn cached(&self, leaderboard: &Leaderboard, limit: u64, now: Instant) -> Option<Arc<Encoded>> {
        let top = Arc::clone(self.boards.read().get(&leaderboard.pk)?);
        let slot = Arc::clone(top.slots.read().get(&limit)?);
        slot.kept(&top.needed(leaderboard, None, now))
    }

    /// Up to `limit` entries from `from_rank` on; with `min_version`, as of that version or later. Only the first ones are
    /// cached.
    pub async fn window(
        &self,
        leaderboard: &Leaderboard,
        from_rank: u64,
        limit: u64,
        min_version: Option<&Version>,
    ) -> Result<Served<Arc<Encoded>>, ServiceError> {
        if from_rank != 1 {
            return Ok(self.ask(leaderboard, from_rank, limit, min_version).await?.0);
        }
        let top = self.top(leaderboard.pk);
        let slot = top.slot(limit);
        let needed = top.needed(leaderboard, min_version, Instant::now());
        let cached = || slot.kept(&needed).map(|value| Served { value, source: Source::Copy });
        if let Some(served) = cached() {
            return Ok(served);
        }
        // A reader that waits for a version may wait for long: the others do not wait with it.
        if min_version.is_some() {
            return Ok(self.ask(leaderboard, 1, limit, min_version).await?.0);
        }
        let _asking = timeout(PATIENCE, slot.asking.lock()).await;
        if let Some(served) = cached() {
            return Ok(served);
        }
        let following = self.follow(&top, leaderboard);
        let (asked, changes) = (Instant::now(), top.changed.count());
        let (served, version) = self.ask(leaderboard, 1, limit, None).await?;
        let following = following.filter(|_| matches!(served.source, Source::RankingStore(_)));
        let encoded = Arc::clone(&served.value);
        let kept = Kept { encoded, version, definition: definition(leaderboard), changes, following, asked };
        slot.kept.store(Some(Arc::new(kept)));
        Ok(served)
    }

    /// Evicts expired answers for as long as it is polled.
    pub async fn upkeep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.let_go(Instant::now());
        }
    }

    fn let_go(&self, now: Instant) {
        self.boards.write().retain(|_, top| top.let_go(now));
    }

    async fn ask(
        &self,
        leaderboard: &Leaderboard,
        from_rank: u64,
        limit: u64,
        min_version: Option<&Version>,
    ) -> Result<(Served<Arc<Encoded>>, Option<Version>), ServiceError> {
        let Served { value, source } = self.rankings.window(leaderboard.board(), from_rank, limit, min_version).await?;
        let json = views::json(&WindowView::new(&leaderboard.id, &value, limit as usize, false));
        Ok((Served { value: Arc::new(Encoded::new(json)), source }, value.head.version))
    }

    fn top(&self, pk: i64) -> Arc<Top> {
        if let Some(top) = self.boards.read().get(&pk) {
            return Arc::clone(top);
        }
        let mut boards = self.boards.write();
        if boards.len() >= BOARDS {
            boards.clear();
        }
        let top = || Top {
            changed: self.rankings.changes.of(pk),
            known: AtomicBool::new(false),
            following: ArcSwapOption::empty(),
            slots: RwLock::default(),
        };
        Arc::clone(boards.entry(pk).or_insert_with(|| Arc::new(top())))
    }

    /// The subscription that announces the board's changes, once it is live. The board is followed from the second reader on.
    fn follow(&self, top: &Top, leaderboard: &Leaderboard) -> Option<Arc<Following>> {
        let following = top.following.load_full().filter(|following| !following.is_over());
        if following.is_none() && top.known.swap(true, Ordering::AcqRel) {
            top.following.store(self.streams.follow(leaderboard).map(Arc::new));
        }
        following.filter(|following| {
            following.note_reader();
            following.is_live()
        })
    }
}

impl Top {
    fn needed<'a>(&self, leaderboard: &Leaderboard, version: Option<&'a Version>, now: Instant) -> Needed<'a> {
        Needed { changes: self.changed.count(), definition: definition(leaderboard), version, now }
    }

    fn slot(&self, limit: u64) -> Arc<Slot> {
        if let Some(slot) = self.slots.read().get(&limit) {
            return Arc::clone(slot);
        }
        let mut slots = self.slots.write();
        if slots.len() >= LIMITS {
            slots.retain(|_, slot| slot.is_of_use(Instant::now()));
        }
        if slots.len() >= LIMITS {
            slots.clear();
        }
        Arc::clone(slots.entry(limit).or_default())
    }

    /// Evicts expired answers, and the subscription if it has ended; false if nothing is left.
    fn let_go(&self, now: Instant) -> bool {
        if self.following.load().as_ref().is_some_and(|following| following.is_over()) {
            self.following.store(None);
        }
        let mut slots = self.slots.write();
        slots.retain(|_, slot| slot.is_of_use(now));
        !slots.is_empty() || self.following.load().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top() -> Top {
        Top { changed: Arc::default(), known: AtomicBool::new(true), following: ArcSwapOption::empty(), slots: RwLock::default() }
    }

    fn keep(slot: &Slot, asked: Instant) {
        let encoded = Arc::new(Encoded::new("{}".to_owned()));
        let kept = Kept { encoded, version: None, definition: (1, 1), changes: 0, following: None, asked };
        slot.kept.store(Some(Arc::new(kept)));
    }

    #[test]
    fn odd_limits_do_not_displace_other_answers_for_long() {
        let (top, now) = (top(), Instant::now());
        for limit in 900..900 + 2 * LIMITS as u64 {
            keep(&top.slot(limit), now);
            assert!(top.slots.read().len() <= LIMITS);
        }
        let slot = top.slot(10);
        keep(&slot, now);
        assert!(Arc::ptr_eq(&slot, &top.slot(10)));
    }

    #[test]
    fn expired_answers_are_evicted() {
        let (top, now) = (top(), Instant::now());
        keep(&top.slot(10), now);
        assert!(top.let_go(now), "it is still given out");
        assert!(!top.let_go(now + AGE));
        let slot = top.slot(10);
        let asking = slot.asking.try_lock().unwrap();
        assert!(top.let_go(now + AGE), "somebody asks at this moment");
        drop(asking);
        assert!(!top.let_go(now + AGE));
    }
}
