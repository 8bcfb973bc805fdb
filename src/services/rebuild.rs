//! Rebuilding a lost ranking from the ledger, while writes go on.
//!
//! From `begin_rebuild` on the ranking is not ready, so every later commit stays in the outbox until the new ranking is there; what was told
//! before is in the ledger by then. Loading page by page therefore needs no snapshot: a change that a page has already seen is
//! known by its revision, one that it has not seen is told afterwards.
//!
//! The ledger allots the epoch: it alone knows the greatest that was ever given out, when Redis has forgotten everything and the clocks of
//! the instances disagree.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    domain::{entry::StoredEntry, leaderboard::Board, position::Version, time::Clock},
    repositories::{
        ledger::{Ledger, LedgerError},
        standings::{Begun, Rebuild, Standings, StandingsError},
    },
};

use super::error::ServiceError;

/// Entries a page: some milliseconds of the ranking's time.
const PAGE: i64 = 5_000;
/// How long a failed rebuild rests before the next may begin, so that a dead cache is not hammered.
const REST: Duration = Duration::from_millis(200);
/// How often a rebuild gives a sign of life while it waits for the ledger. Well below the lease, so that a slow answer or two cost nothing.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long to watch another instance's rebuild before looking again whether it is alive.
const OTHER_INSTANCE: Duration = Duration::from_millis(50);

/// Why a rebuild did not come to its end.
enum Broken {
    /// Another instance has taken it over.
    Overtaken,
    /// The leaderboard is gone.
    Gone,
    Failed(ServiceError),
}

/// Runs at most one rebuild a board in this process; the ranking's own lease keeps other instances from rebuilding the same one.
pub struct Rebuilder {
    standings: Arc<dyn Standings>,
    ledger: Ledger,
    clock: Clock,
    /// Rebuilds on their way, by incarnation; the receiver closes when the rebuild has ended, well or not.
    running: Mutex<HashMap<i64, watch::Receiver<()>>>,
}

impl Rebuilder {
    pub fn new(standings: Arc<dyn Standings>, ledger: Ledger, clock: Clock) -> Arc<Self> {
        Arc::new(Self { standings, ledger, clock, running: Mutex::default() })
    }

    /// Makes sure that a rebuild of this board is on its way, and answers a receiver that closes when it has ended.
    pub fn kick(self: &Arc<Self>, board: Board) -> watch::Receiver<()> {
        let mut running = self.running.lock();
        if let Some(ended) = running.get(&board.pk) {
            return ended.clone();
        }
        let (open, ended) = watch::channel(());
        running.insert(board.pk, ended.clone());
        let rebuilder = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = rebuilder.until_ready(board).await {
                tracing::warn!(leaderboard = board.pk, %error, "the ranking could not be rebuilt");
                tokio::time::sleep(REST).await;
            }
            rebuilder.running.lock().remove(&board.pk);
            drop(open);
        });
        ended
    }

    /// Kicks a rebuild and waits for its end, for so long at the most.
    pub async fn kick_and_wait(self: &Arc<Self>, board: Board, limit: Duration) {
        let mut ended = self.kick(board);
        tokio::time::timeout(limit, ended.changed()).await.ok();
    }

    /// Rebuilds whatever the state of the ranking is, for `scoreboard rebuild`. Answers the entries loaded and the new version.
    pub async fn force(&self, board: Board) -> Result<(u64, Version), ServiceError> {
        let begun = self.standings.begin_rebuild(board, true).await?;
        let Begun::Yours(rebuild) = begun else { return Err(ServiceError::NotFound("leaderboard")) };
        self.run(rebuild).await.map_err(|broken| match broken {
            Broken::Overtaken => ServiceError::Conflict("another rebuild took over".into()),
            Broken::Gone => ServiceError::NotFound("leaderboard"),
            Broken::Failed(error) => error,
        })
    }

    /// Ends when the ranking is ready, by whoever's doing, or when the leaderboard is gone. Another instance is watched for as long as it
    /// keeps its lease.
    async fn until_ready(&self, board: Board) -> Result<(), ServiceError> {
        let mut mine = false;
        loop {
            match self.standings.head(board).await {
                Err(StandingsError::Unready(_)) => {}
                other => return Ok(other.map(drop)?),
            }
            match self.standings.begin_rebuild(board, mine).await? {
                Begun::Gone => return Ok(()),
                Begun::Elsewhere => tokio::time::sleep(OTHER_INSTANCE).await,
                Begun::Yours(rebuild) => match self.run(rebuild).await {
                    Ok(_) | Err(Broken::Gone) => return Ok(()),
                    Err(Broken::Overtaken) => mine = false,
                    // The lease is still ours: without taking it over from ourselves the next try would have to wait for its end.
                    Err(Broken::Failed(error)) if !mine => {
                        tracing::debug!(leaderboard = board.pk, %error, "a rebuild is begun again");
                        mine = true;
                    }
                    Err(Broken::Failed(error)) => return Err(error),
                },
            }
        }
    }

    async fn run(&self, rebuild: Rebuild) -> Result<(u64, Version), Broken> {
        let (board, started) = (rebuild.board, Instant::now());
        // Allotted under the lease: whoever takes the lease later gets a greater one.
        let epoch = self.ledger.allot_epoch(board, rebuild.earliest_epoch(self.clock.now())).await?.ok_or(Broken::Gone)?;
        let entries = tokio::select! {
            loaded = self.load(&rebuild) => loaded?,
            () = self.keep(&rebuild) => return Err(Broken::Overtaken),
        };
        crate::failpoints::failpoint!("rebuild-loaded", |why| Broken::Failed(ServiceError::Internal(why)));
        let version = self.standings.finish_rebuild(rebuild, epoch).await?;
        metrics::counter!("scoreboard_ranking_rebuilds_total").increment(1);
        tracing::info!(leaderboard = board.pk, entries, %version, elapsed = ?started.elapsed(), "ranking rebuilt");
        Ok((entries, version))
    }

    /// Loads page by page, each while the ledger reads the next one.
    async fn load(&self, rebuild: &Rebuild) -> Result<u64, Broken> {
        let mut loaded = 0;
        let mut page = self.ledger.entries_after(rebuild.board, None, PAGE).await?;
        while !page.is_empty() {
            loaded += page.len() as u64;
            let next = async { Ok::<_, Broken>(self.page_after(rebuild.board, &page).await?) };
            let load = async { Ok(self.standings.load(rebuild, &page).await?) };
            page = try_join(next, load).await?.0;
        }
        Ok(loaded)
    }

    /// What follows a page; nothing after one that is not full.
    async fn page_after(&self, board: Board, page: &[StoredEntry]) -> Result<Vec<StoredEntry>, LedgerError> {
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => self.ledger.entries_after(board, Some(&last.user_id), PAGE).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Keeps the lease while it is polled. Ends when another instance has taken it over; a sign of life that went astray is no reason to.
    async fn keep(&self, rebuild: &Rebuild) {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            if let Err(StandingsError::Overtaken(_)) = self.standings.load(rebuild, &[]).await {
                return;
            }
        }
    }
}

impl From<StandingsError> for Broken {
    fn from(error: StandingsError) -> Self {
        match error {
            StandingsError::Overtaken(_) => Self::Overtaken,
            error => Self::Failed(error.into()),
        }
    }
}

impl From<LedgerError> for Broken {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}
