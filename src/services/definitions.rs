//! The definitions as this instance knows them: one immutable snapshot, replaced as a whole.
//!
//! Commits do not depend on it (the ledger checks the revision inside the transaction); reads, streams and authorisation do. It is renewed
//! after every change made here, every half second where other instances may change definitions, at once when one of them says that it
//! has, and when an id is not found.
//!
//! What everybody may read must not outlive a change that takes it back. So who may read is confirmed all the time: by the ledger, and
//! where that is out of reach, by the other instances, which announce every revision through the feed. Once neither has confirmed it for a
//! moment, nothing is public any more.

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
        ids::LeaderboardId,
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
/// How long the ledger may take before the other instances are asked.
const LEDGER_PATIENCE: Duration = Duration::from_millis(400);
/// How long it counts that who may read was confirmed.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);
/// How often the revision is announced anew, because the feed may have forgotten it.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub struct DefinitionCache {
    ledger: Ledger,
    feed: Arc<dyn Feed>,
    current: ArcSwap<Definitions>,
    /// One refresh at a time; the others wait for it and then see its result.
    refreshing: Mutex<Option<Instant>>,
    /// No other instance can change definitions.
    alone: bool,
    /// The revision up to which it is known who may read: the snapshot's, or a later one whose changes were told.
    access: AtomicI64,
    /// When that was confirmed last, in microseconds since `begun`.
    confirmed: AtomicU64,
    begun: Instant,
    /// The newest revision that any instance has announced.
    heard: AtomicI64,
    /// The ledger was out of reach.
    lost: AtomicBool,
    /// It has come back since, and nobody has looked whether it is what it was.
    come_back: AtomicBool,
    /// The revision that was announced last, and when.
    announced: parking_lot::Mutex<Option<(i64, Instant)>>,
    /// Wakes the refreshing task.
    nudge: Notify,
    /// Wakes whoever looks whether the ledger is what it was.
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
            alone,
            access,
            confirmed: AtomicU64::new(0),
            begun: Instant::now(),
            heard: AtomicI64::new(0),
            lost: AtomicBool::new(false),
            come_back: AtomicBool::new(false),
            announced: parking_lot::Mutex::new(None),
            nudge: Notify::new(),
            doubted: Notify::new(),
        }))
    }

    /// The newest snapshot that this instance has.
    pub fn current(&self) -> Arc<Definitions> {
        self.current.load_full()
    }

    /// Whether everybody may read this leaderboard, and that is certain at this moment.
    pub fn is_public(&self, leaderboard: &Leaderboard, now: Instant) -> bool {
        leaderboard.settings.visibility == Visibility::Public && self.is_confirmed(now)
    }

    /// Whether it is certain at this moment who may read.
    pub fn is_confirmed(&self, now: Instant) -> bool {
        let confirmed = self.begun + Duration::from_micros(self.confirmed.load(Ordering::Acquire));
        self.alone || now.saturating_duration_since(confirmed) < CONFIRMED_FOR
    }

    /// Whether somebody has changed definitions in a way that is not known here.
    pub fn is_outdated(&self) -> bool {
        self.heard.load(Ordering::Acquire) > self.access.load(Ordering::Acquire)
    }

    /// Brings the snapshot up to the ledger's revision.
    pub async fn refresh(&self) -> Result<(), ServiceError> {
        let asked = Instant::now();
        let mut last = self.refreshing.lock().await;
        // Somebody else's question that began after ours was asked has our answer too.
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
        *last = Some(begun);
        Ok(())
    }

    /// A leaderboard; where the id is unknown here, the ledger is asked before that is believed.
    pub async fn leaderboard(&self, id: &str) -> Result<Leaderboard, ServiceError> {
        self.find(|definitions| definitions.leaderboard(id).cloned(), LeaderboardId::parse(id).is_ok(), "leaderboard").await
    }

    /// What `pick` finds in the snapshot, or in a fresh one where `plausible`.
    pub async fn find<T>(
        &self,
        pick: impl Fn(&Definitions) -> Option<T>,
        plausible: bool,
        what: &'static str,
    ) -> Result<T, ServiceError> {
        if let Some(found) = pick(&self.current.load()) {
            return Ok(found);
        }
        if plausible {
            // With the ledger away, what is known is all there is: not found then means "not known here".
            self.refresh().await.ok();
        }
        pick(&self.current.load()).ok_or(ServiceError::NotFound(what))
    }

    /// The feed tells of a revision. A change of who may read is obeyed at once, whether the ledger can be asked or not.
    pub fn take(&self, revision: i64, change: Option<AccessChange>) {
        let known = self.access.load(Ordering::Acquire);
        if revision <= known {
            return;
        }
        self.heard.fetch_max(revision, Ordering::AcqRel);
        if let Some(change) = change.filter(|change| change.readers != Readers::Everybody) {
            self.withdraw(change);
        }
        if change.is_some() && revision == known + 1 {
            self.access.compare_exchange(known, revision, Ordering::AcqRel, Ordering::Acquire).ok();
        }
        self.nudge.notify_one();
    }

    /// Adopts that not everybody may read a leaderboard any more, or that it is gone.
    fn withdraw(&self, AccessChange { pk, readers }: AccessChange) {
        self.current.rcu(|current| {
            let mut changed = Definitions::clone(current);
            if let Some(mut leaderboard) = current.leaderboard_by_pk(pk).cloned() {
                leaderboard.settings.visibility = Visibility::Private;
                match readers {
                    Readers::Nobody => changed.remove_leaderboard(&leaderboard.id),
                    Readers::Entitled | Readers::Everybody => changed.put_leaderboard(leaderboard),
                }
            }
            changed
        });
    }

    /// Keeps the snapshot fresh for as long as it is polled; only for a ledger that other instances share.
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
        // A feed that has forgotten everything says 0, which confirms nothing.
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
        let micros = u64::try_from(at.saturating_duration_since(self.begun).as_micros()).unwrap_or(u64::MAX);
        self.confirmed.fetch_max(micros, Ordering::AcqRel);
    }

    /// Announces the revision, so that whoever cannot ask the ledger learns of it.
    async fn announce(&self) {
        let (revision, now) = (self.current.load().revision, Instant::now());
        let fresh = |(announced, at): (i64, Instant)| announced == revision && now.duration_since(at) < ANNOUNCE_AGAIN;
        if self.alone || self.announced.lock().is_some_and(fresh) {
            return;
        }
        if self.feed.definitions(Some((revision, None))).await.is_ok() {
            *self.announced.lock() = Some((revision, now));
        }
    }

    /// The ledger is not certain to be what it was.
    pub fn note_come_back(&self) {
        self.come_back.store(true, Ordering::Release);
    }

    /// The same, to be looked into at once: another ledger may feed the rankings.
    pub fn doubt(&self) {
        self.note_come_back();
        self.doubted.notify_one();
    }

    /// Waits for a doubt.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Whether the ledger has come back, and nobody has looked since.
    pub fn has_come_back(&self) -> bool {
        self.come_back.load(Ordering::Acquire)
    }

    /// The same, for whoever looks.
    pub fn take_come_back(&self) -> bool {
        self.come_back.swap(false, Ordering::AcqRel)
    }
}
