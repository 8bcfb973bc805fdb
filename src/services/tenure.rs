//! Whose ledger feeds the rankings in a Redis. A copy of a ledger has the id of its original, and so the names of its rankings; a ledger that
//! was set back has announced what it does not remember. Either way, no ranking under those names can be trusted.
//!
//! The ledger notes random tokens and puts the newest one into Redis. Whoever finds a token there that is none of its ledger's is not alone, or has
//! been set back: it takes on a new id, under which all rankings are built anew from its own ledger. The other one keeps the old names and
//! never notices. A copy that a database's own marks give away gets its new id even before that ([`Ledger::settle_in`]). Every new token is
//! told to all instances, and one that starts leaves those of another ledger a moment to look and go.

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

/// How often a new token is put there: so old a copy may be that is made while the original runs and started beside it, without the
/// token giving it away at once. The token that it puts there itself does, to the instances of the original.
const RENEW: Duration = Duration::from_secs(3600);
/// How long an instance that starts waits for others to find out that its ledger is not theirs: a message, a query and a change of names. Only
/// where there are others.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// How often it is tried where other instances are at it as well.
const ATTEMPTS: u32 = 5;

/// See the module's documentation.
pub struct Tenure {
    ledger: Ledger,
    redis: Arc<RedisStore>,
    /// The id under which the rankings are kept.
    id: Mutex<String>,
    /// When the newest token was put there by this instance; `None` where none was.
    renewed: Mutex<Option<Instant>>,
    settled: AtomicBool,
    /// Other instances heard of the newest token.
    others: AtomicBool,
    /// The timeline that the rankings were found not to be of.
    timeline: Mutex<Option<String>>,
}

impl Tenure {
    /// Nothing is read from the rankings or announced to them until this is settled.
    pub fn new(ledger: Ledger, redis: Arc<RedisStore>, id: String) -> Arc<Self> {
        redis.close();
        let (id, renewed, timeline) = (Mutex::new(id), Mutex::default(), Mutex::default());
        Arc::new(Self { ledger, redis, id, renewed, settled: AtomicBool::new(false), others: AtomicBool::new(false), timeline })
    }

    /// Whether it has been settled whose rankings they are.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Settles it, and takes calls from then on. True where every ranking has to be distrusted although it is ours: the end of the
    /// ledger's history may have been lost. Once they are on their way, [`Self::confirm`] ends that.
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
            // Of the former timeline, until the rankings are of the present one.
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

    /// The rankings are of the present timeline.
    pub async fn confirm(&self) -> Result<(), ServiceError> {
        let Some(timeline) = self.timeline.lock().take() else { return Ok(()) };
        let holder = self.redis.holder().await?;
        self.renew(holder.as_deref(), &timeline).await?;
        Ok(())
    }

    /// Puts a new token there; false where another instance was quicker.
    async fn renew(&self, holder: Option<&str>, timeline: &str) -> Result<bool, ServiceError> {
        let token = Uuid::new_v4().simple().to_string();
        // In this order, and durably: a token that the ledger does not know would look like somebody else's.
        self.ledger.add_claim(&token, timeline).await?;
        let Some(heard) = self.redis.hold(&token, holder).await? else { return Ok(false) };
        *self.renewed.lock() = Some(Instant::now());
        self.others.store(heard > 1, Ordering::Release);
        Ok(true)
    }

    /// Takes on a new id, because the rankings under the present one are fed from elsewhere, or from a past that is no more.
    async fn leave(&self) -> Result<(), ServiceError> {
        let old = self.id.lock().clone();
        let id = self.ledger.renew_installation_id(&old).await?;
        tracing::warn!(
            former = old,
            present = id,
            "this ledger is a copy or was restored: its rankings are built anew under another id, those under the former one are left to \
             whoever feeds them"
        );
        metrics::counter!("scoreboard_ranking_divergences_total").increment(1);
        self.adopt(id).await;
        Ok(())
    }

    /// Another instance may have taken on another id.
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
