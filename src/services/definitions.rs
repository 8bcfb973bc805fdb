//! The definitions as this instance knows them: one immutable snapshot, replaced as a whole.
//!
//! Commits do not depend on it (the ledger checks the revision inside the transaction); reads, streams and authorisation do. It
//! is refreshed after every change made here; every half second if other instances may change definitions; at once when another
//! instance announces a change; and when an id is not found.
//!
//! A leaderboard must not stay public after a change that makes it private. So read access is confirmed continuously: by the
//! ledger, or, while the ledger is unavailable, by the other instances, which announce every revision through the feed. Once
//! neither has confirmed it for a moment, nothing is public any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify};

use crate::{
    domain::{
        definition::Definitions,
        ids::{LeaderboardId, Noun},
        leaderboard::{Leaderboard, Visibility},
    },
    repositories::{
        feed::{AccessChange, Feed, Readers},
        ledger::Ledger,
    },
};

use super::error::ServiceError;

/// How stale another instance's view of a definition may be while its id is known.
const POLL: Duration = Duration::from_millis(500);
/// How long the ledger may take to answer before the other instances are asked.
const LEDGER_PATIENCE: Duration = Duration::from_millis(400);
/// How long a confirmation of read access is valid.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);
/// How often the revision is announced again, because the feed may have lost it.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub struct DefinitionCache {
    ledger: Ledger,
    feed: Arc<dyn Feed>,
    current: ArcSwap<Definitions>,
    /// One refresh at a time; concurrent callers wait for it and then use its result.
    refreshing: Mutex<Option<Instant>>,
    /// The same for refreshes that strangers can cause: when the last one began.
    unknown: Mutex<Option<Instant>>,
    /// No other instance can change definitions.
    alone: bool,
    /// The revision up to which read access is known: the snapshot's, or a later one whose changes were announced.
    access: AtomicI64,
    /// When read access was last confirmed, in microseconds since `begun`.
    confirmed: AtomicU64,
    /// The same, by the ledger itself.
    heard_from_ledger: AtomicU64,
    begun: Instant,
    /// The newest revision that any instance has announced.
    heard: AtomicI64,
    /// The ledger was unavailable.
    lost: AtomicBool,
    /// The ledger is available again, and it has not been checked since whether it is still the same.
    come_back: AtomicBool,
    /// The revision that was last announced, and when.
    announced: parking_lot::Mutex<Option<(i64, Instant)>>,
    /// Wakes the refreshing task.
    nudge: Notify,
    /// Wakes the task that checks whether the ledger is still the same.
    doubted: Notify,
}

impl DefinitionCache {
    /// Reads the definitions for the first time.
    pub async fn load(ledger: Ledger, feed: Arc<dyn Feed>) -> Result<Arc<Self>, ServiceError> {
        let definitions = ledger.definitions().await?;
        let alone = !ledger.is_shared() || matches!(feed.definitions(None).await, Ok(None));
        let access = AtomicI64::new(definitions.revision);
        Ok(Arc::new(Self {
            ledger,
            feed,
            current: ArcSwap::from_pointee(definitions),
            refreshing: Mutex::new(None),
            unknown: Mutex::new(None),
            alone,
            access,
            confirmed: AtomicU64::new(0),
            heard_from_ledger: AtomicU64::new(0),
            begun: Instant::now(),
            heard: AtomicI64::new(0),
            lost: AtomicBool::new(false),
            come_back: AtomicBool::new(false),
            announced: parking_lot::Mutex::new(None),
            nudge: Notify::new(),
            doubted: Notify::new(),
        }))
    }

    /// The newest snapshot in this instance.
    pub fn current(&self) -> Arc<Definitions> {
        self.current.load_full()
    }

    /// Whether everybody may read this leaderboard, and this is confirmed at this moment.
    pub fn is_public(&self, leaderboard: &Leaderboard, now: Instant) -> bool {
        leaderboard.settings.visibility == Visibility::Public && self.is_confirmed(now)
    }

    /// Whether read access is confirmed at this moment.
    pub fn is_confirmed(&self, now: Instant) -> bool {
        let confirmed = self.begun + Duration::from_micros(self.confirmed.load(Ordering::Acquire));
        self.alone || now.saturating_duration_since(confirmed) < CONFIRMED_FOR
    }

    /// Whether the ledger has answered within the last two seconds, or nobody else can change what it holds.
    pub fn has_heard_from_ledger(&self, now: Instant) -> bool {
        let heard = self.begun + Duration::from_micros(self.heard_from_ledger.load(Ordering::Acquire));
        !self.ledger.is_shared() || now.saturating_duration_since(heard) < CONFIRMED_FOR
    }

    /// Whether definitions have changed in a way that this instance does not know yet.
    pub fn is_outdated(&self) -> bool {
        self.heard.load(Ordering::Acquire) > self.access.load(Ordering::Acquire)
    }

    /// Brings the snapshot up to the ledger's revision.
    pub async fn refresh(&self) -> Result<(), ServiceError> {
        let asked = Instant::now();
        let mut last = self.refreshing.lock().await;
        // Another caller's query that began after our request has our answer too.
        if last.is_some_and(|begun| begun > asked) {
            return Ok(());
        }
        let begun = Instant::now();
        let known = self.current.load_full();
        let definitions = self.ledger.definitions_since(&known).await?;
        let revision = definitions.revision;
        if revision != known.revision {
            self.current.store(Arc::new(definitions));
        }
        self.access.store(revision, Ordering::Release);
        self.confirm(begun);
        self.heard_from_ledger.fetch_max(self.micros_at(begun), Ordering::AcqRel);
        *last = Some(begun);
        Ok(())
    }

    /// The same, not more often than this: callers wait for the next time, together.
    pub async fn refresh_at_most_every(&self, interval: Duration) -> Result<(), ServiceError> {
        let asked = Instant::now();
        let mut last = self.unknown.lock().await;
        if last.is_some_and(|begun| begun > asked) {
            return Ok(());
        }
        if let Some(rest) = last.and_then(|begun| interval.checked_sub(begun.elapsed())) {
            tokio::time::sleep(rest).await;
        }
        let begun = Instant::now();
        self.refresh().await?;
        *last = Some(begun);
        Ok(())
    }

    /// A leaderboard; if the id is unknown here, the ledger is asked before it is reported as not found.
    pub async fn leaderboard(&self, id: &str) -> Result<Leaderboard, ServiceError> {
        self.find(|definitions| definitions.leaderboard(id).cloned(), LeaderboardId::parse(id).is_ok(), Noun::Leaderboard).await
    }

    /// What `pick` finds in the snapshot, or, if it finds nothing and the id is `plausible`, in a fresh snapshot.
    pub async fn find<T>(
        &self,
        pick: impl Fn(&Definitions) -> Option<T>,
        plausible: bool,
        what: Noun,
    ) -> Result<T, ServiceError> {
        if let Some(found) = pick(&self.current.load()) {
            return Ok(found);
        }
        if plausible {
            // While the ledger is unavailable the snapshot is all there is: not found then means "not known here".
            self.refresh().await.ok();
        }
        pick(&self.current.load()).ok_or(ServiceError::NotFound(what))
    }

    /// Handles a revision announced by the feed. A change of read access takes effect at once, whether the ledger can be asked
    /// or not.
    pub fn take(&self, revision: i64, change: Option<AccessChange>) {
        let known = self.access.load(Ordering::Acquire);
        if revision <= known {
            return;
        }
        self.heard.fetch_max(revision, Ordering::AcqRel);
        if let Some(change) = change.filter(|change| change.readers != Readers::Everybody) {
            self.withdraw(revision, change);
        }
        if change.is_some() && revision == known + 1 {
            self.access.compare_exchange(known, revision, Ordering::AcqRel, Ordering::Acquire).ok();
        }
        self.nudge.notify_one();
    }

    /// Applies that a leaderboard is no longer public, or that it is deleted.
    fn withdraw(&self, revision: i64, AccessChange { pk, readers }: AccessChange) {
        self.current.rcu(|current| {
            let mut changed = Definitions::clone(current);
            // A snapshot that is as new knows it already, and perhaps what came after it.
            let outdated = current.leaderboard_by_pk(pk).filter(|_| current.revision < revision).cloned();
            if let Some(mut leaderboard) = outdated {
                leaderboard.settings.visibility = Visibility::Private;
                match readers {
                    Readers::Nobody => changed.remove_leaderboard(&leaderboard.id),
                    Readers::Entitled | Readers::Everybody => changed.put_leaderboard(leaderboard),
                }
            }
            changed
        });
    }

    /// Refreshes the snapshot for as long as it is polled; only for a ledger that other instances share.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.nudge.notified() => {}
            }
            let mut refresh = std::pin::pin!(self.refresh());
            let refreshed = loop {
                tokio::select! {
                    refreshed = &mut refresh => break refreshed,
                    () = tokio::time::sleep(LEDGER_PATIENCE) => self.ask_others().await,
                }
            };
            match refreshed {
                Ok(()) => {
                    if self.lost.swap(false, Ordering::AcqRel) {
                        self.note_come_back();
                    }
                    self.announce().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the definitions could not be refreshed");
                    self.lost.store(true, Ordering::Release);
                    self.ask_others().await;
                }
            }
        }
    }

    /// Asks the other instances whether anything has changed, because the ledger does not answer.
    async fn ask_others(&self) {
        let asked = Instant::now();
        // A feed that has lost everything answers 0, which confirms nothing.
        if let Ok(Some(newest)) = self.feed.definitions(None).await
            && newest > 0
        {
            self.heard.fetch_max(newest, Ordering::AcqRel);
            if !self.is_outdated() {
                self.confirm(asked);
            }
        }
    }

    fn confirm(&self, at: Instant) {
        self.confirmed.fetch_max(self.micros_at(at), Ordering::AcqRel);
    }

    fn micros_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_micros()).unwrap_or(u64::MAX)
    }

    /// Announces the revision, so that the other instances learn of it, also those that cannot reach the ledger.
    pub async fn announce(&self) {
        let (revision, now) = (self.current.load().revision, Instant::now());
        let fresh = |(announced, at): (i64, Instant)| announced == revision && now.duration_since(at) < ANNOUNCE_AGAIN;
        if self.alone || self.announced.lock().is_some_and(fresh) {
            return;
        }
        if self.feed.definitions(Some((revision, None))).await.is_ok() {
            *self.announced.lock() = Some((revision, now));
        }
    }

    /// Notes that the ledger may no longer be the same.
    pub fn note_come_back(&self) {
        self.come_back.store(true, Ordering::Release);
    }

    /// The same, to be checked at once: another ledger may feed the rankings.
    pub fn doubt(&self) {
        self.note_come_back();
        self.doubted.notify_one();
    }

    /// Waits for a doubt.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Whether the ledger has come back and has not been checked since.
    pub fn has_come_back(&self) -> bool {
        self.come_back.load(Ordering::Acquire)
    }

    /// The same; resets the flag, for the caller that checks.
    pub fn take_come_back(&self) -> bool {
        self.come_back.swap(false, Ordering::AcqRel)
    }
}
