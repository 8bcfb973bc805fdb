//! Rebuilding a lost ranking from the ledger, while writes go on.
//!
//! From `begin_rebuild` on the ranking is not ready, so every later commit stays in the outbox until the new ranking is there; what was told
//! before is in the ledger by then. Loading page by page therefore needs no snapshot: a change that a page has already seen is
//! known by its revision, one that it has not seen is told afterwards.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    domain::{leaderboard::Board, position::Version},
    repositories::{
        ledger::Ledger,
        standings::{Standings, StandingsError},
    },
};

use super::error::ServiceError;

/// Entries a page: some milliseconds of the ranking's time.
const PAGE: i64 = 5_000;
/// How long a failed rebuild rests before the next may begin, so that a dead cache is not hammered.
const REST: Duration = Duration::from_millis(200);
/// How long to watch others before giving up: longer than a dead instance's lease. A leaderboard that was deleted meanwhile is never
/// ready again; whoever still needs the ranking begins anew.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long to watch another instance's rebuild before looking again whether it is alive.
const OTHER_INSTANCE: Duration = Duration::from_millis(50);

/// Runs at most one rebuild a board in this process; the ranking's own lease keeps other instances from rebuilding the same one.
pub struct Rebuilder {
    standings: Arc<dyn Standings>,
    ledger: Ledger,
    /// Rebuilds on their way, by incarnation; the receiver closes when the rebuild has ended, well or not.
    running: Mutex<HashMap<i64, watch::Receiver<()>>>,
}

impl Rebuilder {
    pub fn new(standings: Arc<dyn Standings>, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self { standings, ledger, running: Mutex::default() })
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
        let rebuild = self.standings.begin_rebuild(board, true).await?;
        let rebuild = rebuild.ok_or(ServiceError::Internal("a forced rebuild was refused".into()))?;
        self.load(board, rebuild).await
    }

    async fn until_ready(&self, board: Board) -> Result<(), ServiceError> {
        let mut mine = false;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.standings.head(board).await {
                Err(StandingsError::Unready(_)) => {}
                other => return Ok(other.map(drop)?),
            }
            if let Some(rebuild) = self.standings.begin_rebuild(board, mine).await? {
                match self.load(board, rebuild).await {
                    Ok(_) => return Ok(()),
                    // The lease is still ours: without taking it over from ourselves the next try would have to wait for its end.
                    Err(error) if mine => return Err(error),
                    Err(error) => {
                        tracing::debug!(leaderboard = board.pk, %error, "a rebuild is begun again");
                        mine = true;
                    }
                }
            }
            tokio::time::sleep(OTHER_INSTANCE).await;
        }
        Err(ServiceError::Internal("nobody rebuilt it: the leaderboard is gone, or its rebuild takes long elsewhere".into()))
    }

    async fn load(&self, board: Board, rebuild: crate::repositories::standings::Rebuild) -> Result<(u64, Version), ServiceError> {
        let started = Instant::now();
        let mut loaded = 0;
        let mut after = None;
        loop {
            let page = self.ledger.entries_after(board, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            self.standings.load(&rebuild, &page).await?;
            loaded += page.len() as u64;
            after = Some(last.user_id.clone());
            if (page.len() as i64) < PAGE {
                break;
            }
        }
        let version = self.standings.finish_rebuild(rebuild).await?;
        metrics::counter!("scoreboard_ranking_rebuilds_total").increment(1);
        tracing::info!(leaderboard = board.pk, entries = loaded, %version, elapsed = ?started.elapsed(), "ranking rebuilt");
        Ok((loaded, version))
    }
}
