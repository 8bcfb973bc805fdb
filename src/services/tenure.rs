//! Which ledger feeds the rankings in a Redis. A copy of a ledger has the id of its original, and so the same ranking names; a
//! ledger that was set back has announced changes that it does not remember. In both cases, no ranking under those names can be
//! trusted.
//!
//! The ledger records random tokens and puts the newest one into Redis. An instance that finds a token there that its ledger
//! does not know shares the Redis with another ledger, or its ledger has been set back: it takes a new id, under which all
//! rankings are rebuilt from its own ledger. The other ledger keeps the old names and never notices. A copy that the database's
//! own marks reveal gets its new id even before that ([`Ledger::settle_in`]). Every new token is announced to all instances,
//! and an instance that starts gives those of another ledger a moment to check and to leave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::repositories::{ledger::Ledger, redis::RedisStore};

use super::error::ServiceError;

/// How often a new token is put there. This is the greatest age of a copy that can be made while the original runs, and be
/// started beside it, without the token revealing it at once. The token that the copy puts there itself reveals it to the
/// instances of the original.
const RENEW: Duration = Duration::from_secs(3600);
/// How long a starting instance waits for others to discover that its ledger is not theirs: a message, a query and a change of
/// names. Only if there are others.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// How many times it is tried if other instances are doing the same.
const ATTEMPTS: u32 = 5;

/// See the module's documentation.
pub struct Tenure {
    ledger: Ledger,
    redis: Arc<RedisStore>,
    /// The id under which the rankings are stored.
    id: Mutex<String>,
    /// When this instance last put the newest token there; `None` if it never did.
    renewed: Mutex<Option<Instant>>,
    settled: AtomicBool,
    /// Other instances heard of the newest token.
    others: AtomicBool,
    /// The timeline that the rankings were found not to belong to.
    timeline: Mutex<Option<String>>,
}

impl Tenure {
    /// Nothing is read from the rankings or announced to them until the owner is settled.
    pub fn new(ledger: Ledger, redis: Arc<RedisStore>, id: String) -> Arc<Self> {
        redis.close();
        let (id, renewed, timeline) = (Mutex::new(id), Mutex::default(), Mutex::default());
        Arc::new(Self { ledger, redis, id, renewed, settled: AtomicBool::new(false), others: AtomicBool::new(false), timeline })
    }

    /// Whether it is settled which ledger owns the rankings.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Settles the owner, and accepts calls from then on. True if every ranking has to be distrusted although it is ours,
    /// because the end of the ledger's history may have been lost. Once their rebuilds are under way, [`Self::confirm`] ends
    /// that.
    pub async fn settle(&self) -> Result<bool, ServiceError> {
        self.follow_id().await?;
        let timeline = self.ledger.timeline().await?;
        let claimed = self.ledger.claimed_timeline().await?.unwrap_or_else(|| timeline.clone());
        let moved = claimed != timeline;
        for _ in 0..ATTEMPTS {
            let holder = self.redis.holder().await?;
            let ours = match &holder {
                Some(token) => self.ledger.knows_claim(token).await?,
                None => true,
            };
            if !ours {
                self.leave().await?;
                continue;
            }
            let due = self.renewed.lock().is_none_or(|at| at.elapsed() >= RENEW);
            // The former timeline is recorded until the rankings are of the present one.
            if !due && holder.is_some() || self.renew(holder.as_deref(), &claimed).await? {
                if !self.is_settled() && self.others.load(Ordering::Acquire) {
                    tokio::time::sleep(LEAVE_WITHIN).await;
                }
                self.settled.store(true, Ordering::Release);
                self.redis.open();
                *self.timeline.lock() = moved.then_some(timeline);
                return Ok(moved);
            }
        }
        Err(ServiceError::Overloaded)
    }

    /// Records that the rankings are of the present timeline.
    pub async fn confirm(&self) -> Result<(), ServiceError> {
        let Some(timeline) = self.timeline.lock().take() else { return Ok(()) };
        let holder = self.redis.holder().await?;
        self.renew(holder.as_deref(), &timeline).await?;
        Ok(())
    }

    /// Puts a new token there; false if another instance was quicker.
    async fn renew(&self, holder: Option<&str>, timeline: &str) -> Result<bool, ServiceError> {
        let token = Uuid::new_v4().simple().to_string();
        // In this order, and durably: a token that the ledger does not know would look like another ledger's.
        self.ledger.add_claim(&token, timeline).await?;
        let Some(heard) = self.redis.hold(&token, holder).await? else { return Ok(false) };
        *self.renewed.lock() = Some(Instant::now());
        self.others.store(heard > 1, Ordering::Release);
        Ok(true)
    }

    /// Takes a new id, because another ledger, or a discarded past of this one, feeds the rankings under the present id.
    async fn leave(&self) -> Result<(), ServiceError> {
        let old = self.id.lock().clone();
        let id = self.ledger.renew_installation_id(&old).await?;
        tracing::warn!(
            former = old,
            present = id,
            "this ledger is a copy or was restored: its rankings are rebuilt under another id, those under the former one are left to \
             the ledger that feeds them"
        );
        metrics::counter!("scoreboard_ranking_divergences_total").increment(1);
        self.adopt(id).await;
        Ok(())
    }

    /// Follows another instance that may have taken a new id.
    async fn follow_id(&self) -> Result<(), ServiceError> {
        let id = self.ledger.installation_id().await?;
        if *self.id.lock() != id {
            self.adopt(id).await;
        }
        Ok(())
    }

    async fn adopt(&self, id: String) {
        self.redis.adopt(&id).await;
        *self.id.lock() = id;
    }
}
