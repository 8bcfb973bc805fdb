//! Rebuilding a lost ranking from the ledger, while writes go on.
//!
//! From `begin_rebuild` on the ranking is not ready, so every later commit stays in the outbox until the new ranking is ready;
//! what was announced before is in the ledger by then. Loading page by page therefore needs no snapshot: a change that a page
//! already contains is recognised by its revision, and one that it does not contain is announced afterwards.
//!
//! The ledger allots the epoch: it alone knows the greatest one ever allotted, even when Redis has lost everything and the
//! clocks of the instances disagree.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use crate::domain::ids::Noun;
use crate::{
    domain::{
        entry::StoredEntry,
        leaderboard::Board,
        time::Clock,
        version::{Version, epoch_number},
    },
    repositories::{
        ledger::{Ledger, LedgerError},
        ranking_store::{Begun, RankingError, RankingStore, Rebuild, Replaces},
    },
};

use super::{backlog::Backlog, error::ServiceError};

/// Entries a page: some milliseconds of the ranking's time.
const PAGE: i64 = 5_000;
/// How long to wait after a failed rebuild before the next may begin, so that an unavailable store is not flooded with
/// attempts.
const REST: Duration = Duration::from_millis(200);
/// How often a rebuild renews its lease while it waits for the ledger. Well below the lease, so that one or two slow answers do
/// no harm.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long to wait for another instance's rebuild before checking again whether that instance is alive.
const OTHER_INSTANCE: Duration = Duration::from_millis(50);

/// Rebuilds of this process at once; the others wait for a permit. Each one keeps the ranking store busy by itself.
const AT_ONCE: usize = 4;

/// Why a rebuild did not finish.
enum Broken {
    /// Another instance has taken it over.
    Overtaken,
    /// The ledger has allotted a later epoch in the meantime: it would not accept this ranking as its own.
    Outdated,
    /// The leaderboard is gone.
    Gone,
    Failed(ServiceError),
}

/// Runs at most one rebuild per board in this process; the ranking's own lease keeps other instances from rebuilding the same
/// one.
pub struct Rebuilder {
    ranking_store: Arc<dyn RankingStore>,
    ledger: Ledger,
    clock: Clock,
    backlog: Arc<Backlog>,
    /// Rebuilds in progress, by incarnation; the receiver closes when the rebuild has ended, successfully or not.
    running: Mutex<HashMap<i64, watch::Receiver<()>>>,
    turns: Semaphore,
    /// Wakes the task that has changes to announce to rebuilt rankings.
    rebuilt: Notify,
}

/// A rebuild that is marked as running until this is dropped, even if it panics.
struct Running {
    rebuilder: Arc<Rebuilder>,
    pk: i64,
    _open: watch::Sender<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.rebuilder.running.lock().remove(&self.pk);
    }
}

impl Rebuilder {
    pub fn new(ranking_store: Arc<dyn RankingStore>, ledger: Ledger, clock: Clock, backlog: Arc<Backlog>) -> Arc<Self> {
        let (running, turns, rebuilt) = (Mutex::default(), Semaphore::new(AT_ONCE), Notify::new());
        Arc::new(Self { ranking_store, ledger, clock, backlog, running, turns, rebuilt })
    }

    /// Starts a rebuild of this board if its ranking is lost and none is in progress; returns a receiver that closes when the
    /// rebuild has ended.
    pub fn kick(self: &Arc<Self>, board: Board) -> watch::Receiver<()> {
        self.start(board, None)
    }

    /// The same for a ranking of this epoch that has proved wrong, although it answers.
    pub fn replace(self: &Arc<Self>, board: Board, epoch: Arc<str>, why: &str) -> watch::Receiver<()> {
        tracing::warn!(leaderboard = board.pk, epoch = &*epoch, why, "the ranking is not the ledger's and is rebuilt");
        metrics::counter!("scoreboard_ranking_divergences_total").increment(1);
        self.start(board, Some(epoch))
    }

    /// The same for a ranking of this epoch that is right, and has to forget what it remembers of the past.
    pub fn renew(self: &Arc<Self>, board: Board, epoch: Arc<str>) -> watch::Receiver<()> {
        self.start(board, Some(epoch))
    }

    /// Whether a rebuild of this board is in progress in this instance.
    pub fn is_rebuilding(&self, pk: i64) -> bool {
        self.running.lock().contains_key(&pk)
    }

    /// Whether this ranking lacks something that is committed, so that it must not be trusted.
    pub fn is_behind(&self, pk: i64) -> bool {
        self.backlog.is_behind(pk)
    }

    /// Notes that another instance could not announce this outbox row to this ranking.
    pub fn note_behind(&self, pk: i64, row: i64) {
        self.backlog.add(pk, row);
    }

    /// Waits for the end of a rebuild.
    pub async fn rebuilt(&self) {
        self.rebuilt.notified().await;
    }

    fn start(self: &Arc<Self>, board: Board, wrong: Option<Arc<str>>) -> watch::Receiver<()> {
        let mut running = self.running.lock();
        if let Some(ended) = running.get(&board.pk) {
            return ended.clone();
        }
        let (open, ended) = watch::channel(());
        running.insert(board.pk, ended.clone());
        let running = Running { rebuilder: Arc::clone(self), pk: board.pk, _open: open };
        tokio::spawn(async move {
            if let Err(error) = running.rebuilder.until_ready(board, wrong).await {
                tracing::warn!(leaderboard = board.pk, %error, "the ranking could not be rebuilt");
                tokio::time::sleep(REST).await;
            }
        });
        ended
    }

    /// Builds the ranking of a newly created leaderboard, and waits for that up to `limit`. An existing ranking, under an epoch
    /// that the ledger never gave it, is left over from a leaderboard that the ledger forgot when it was set back.
    pub async fn prepare(self: &Arc<Self>, board: Board, limit: Duration) {
        let held = self.ranking_store.survey(board, 0).await.map(|survey| survey.version.epoch);
        let given = self.ledger.epochs().await.map(|epochs| epochs.get(&board.pk).copied());
        let mut ended = match (held, given) {
            (Ok(epoch), Ok(given)) if epoch_number(&epoch) != given => self.replace(board, epoch, "its leaderboard is a new one"),
            _ => self.kick(board),
        };
        tokio::time::timeout(limit, ended.changed()).await.ok();
    }

    /// Rebuilds whatever the state of the ranking is, for `scoreboard rebuild`. Returns the number of entries loaded and the
    /// new version.
    pub async fn force(&self, board: Board) -> Result<(u64, Version), ServiceError> {
        let begun = self.ranking_store.begin_rebuild(board, Replaces::Any).await?;
        let Begun::Yours(rebuild) = begun else { return Err(ServiceError::NotFound(Noun::Leaderboard)) };
        self.run(rebuild, &mut 0).await.map_err(failed)
    }

    /// Builds a ranking that nobody but this process reads, for `scoreboard verify`. The ledger gives no epoch for it: a server that runs beside
    /// this would take its own ranking for superseded.
    pub async fn build_apart(&self, board: Board) -> Result<(), ServiceError> {
        let Begun::Yours(rebuild) = self.ranking_store.begin_rebuild(board, Replaces::Any).await? else {
            return Err(ServiceError::NotFound(Noun::Leaderboard));
        };
        self.load(&rebuild).await.map_err(failed)?;
        let epoch = rebuild.earliest_epoch(self.clock.now());
        self.ranking_store.finish_rebuild(rebuild, epoch).await?;
        Ok(())
    }

    /// Ends when the ranking is ready and is not the wrong one, whichever instance rebuilt it; or when the leaderboard is gone.
    /// Another instance's rebuild is awaited for as long as that instance keeps its lease.
    async fn until_ready(&self, board: Board, mut wrong: Option<Arc<str>>) -> Result<(), ServiceError> {
        // The newest epoch allotted to this process: a ranking of an earlier one was finished by another instance that had been
        // allotted its epoch before, and is not the ledger's.
        let mut taken = 0;
        let mut more: Option<Replaces<'static>> = None;
        loop {
            match self.ranking_store.head(board).await {
                Err(error) if error.calls_for_a_rebuild() => {}
                // Of an earlier season: a rebuild was asked for by its epoch, or else there is nothing to do.
                Err(RankingError::EarlierSeason { .. }) if wrong.is_some() => {}
                Ok(head) => {
                    let epoch = head.version.map(|version| version.epoch);
                    if epoch.as_deref().and_then(epoch_number).is_some_and(|epoch| epoch < taken) {
                        wrong.clone_from(&epoch);
                    }
                    if wrong.is_none() || wrong != epoch {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            let turn = self.turns.acquire().await.expect("the semaphore is never closed");
            let replaces = more.unwrap_or_else(|| wrong.as_deref().map_or(Replaces::Lost, Replaces::Wrong));
            match self.ranking_store.begin_rebuild(board, replaces).await? {
                Begun::Gone if replaces != Replaces::Deleted && self.is_there(board).await? => more = Some(Replaces::Deleted),
                Begun::Gone => return Ok(()),
                Begun::Elsewhere => {
                    drop(turn);
                    tokio::time::sleep(OTHER_INSTANCE).await;
                }
                // If the lease is still ours, the next attempt would have to wait for it to expire unless it takes it over from
                // ourselves.
                Begun::Yours(rebuild) => match self.run(rebuild, &mut taken).await {
                    Ok(_) | Err(Broken::Gone) => return Ok(()),
                    Err(Broken::Overtaken) => more = None,
                    Err(Broken::Outdated) => more = Some(Replaces::Any),
                    Err(Broken::Failed(error)) if replaces != Replaces::Any => {
                        tracing::debug!(leaderboard = board.pk, %error, "a rebuild is begun again");
                        more = Some(Replaces::Any);
                    }
                    Err(Broken::Failed(error)) => return Err(error),
                },
            }
        }
    }

    /// Whether the ledger has this leaderboard, in this season. The ranking store may remember a deletion that the ledger, set
    /// back since, has not seen.
    async fn is_there(&self, board: Board) -> Result<bool, ServiceError> {
        Ok(self.ledger.allot_epoch(board, 0).await?.is_some())
    }

    /// Stores the epoch that it was allotted in `taken`. The epoch is allotted under the lease: an instance that takes the
    /// lease later gets a greater one, unless one is delayed between the two steps.
    async fn run(&self, rebuild: Rebuild, taken: &mut i64) -> Result<(u64, Version), Broken> {
        let (board, started) = (rebuild.board, Instant::now());
        let epoch = self.ledger.allot_epoch(board, rebuild.earliest_epoch(self.clock.now())).await?.ok_or(Broken::Gone)?;
        *taken = epoch;
        let entries = tokio::select! {
            loaded = self.load(&rebuild) => loaded?,
            () = self.keep(&rebuild) => return Err(Broken::Overtaken),
        };
        crate::failpoints::failpoint!("rebuild-loaded", |why| Broken::Failed(ServiceError::Internal(why)));
        if self.ledger.epoch(board.pk).await?.is_some_and(|newest| newest > epoch) {
            return Err(Broken::Outdated);
        }
        let version = self.ranking_store.finish_rebuild(rebuild, epoch).await?;
        // The ranking contains all that is committed, up to what this instance is about to announce.
        self.backlog.forget(board.pk);
        self.rebuilt.notify_one();
        metrics::counter!("scoreboard_ranking_rebuilds_total").increment(1);
        tracing::info!(leaderboard = board.pk, entries, %version, elapsed = ?started.elapsed(), "ranking rebuilt");
        Ok((entries, version))
    }

    /// Loads page by page; each page is loaded while the ledger reads the next one.
    async fn load(&self, rebuild: &Rebuild) -> Result<u64, Broken> {
        let mut loaded = 0;
        let mut page = self.ledger.entries_after(rebuild.board, None, PAGE).await?;
        while !page.is_empty() {
            loaded += page.iter().filter(|entry| entry.score.is_some()).count() as u64;
            let next = async { Ok::<_, Broken>(self.page_after(rebuild.board, &page).await?) };
            let load = async { Ok(self.ranking_store.load(rebuild, &page).await?) };
            page = try_join(next, load).await?.0;
        }
        Ok(loaded)
    }

    /// The page that follows; empty if this page is not full.
    async fn page_after(&self, board: Board, page: &[StoredEntry]) -> Result<Vec<StoredEntry>, LedgerError> {
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => self.ledger.entries_after(board, Some(&last.user_id), PAGE).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Renews the lease while it is polled. Ends when another instance has taken the lease over; one lost renewal does not end
    /// it.
    async fn keep(&self, rebuild: &Rebuild) {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            if let Err(RankingError::Overtaken(_)) = self.ranking_store.load(rebuild, &[]).await {
                return;
            }
        }
    }
}

/// What a command says of a rebuild that did not come to its end.
fn failed(broken: Broken) -> ServiceError {
    match broken {
        Broken::Overtaken | Broken::Outdated => ServiceError::Conflict("another rebuild took over".into()),
        Broken::Gone => ServiceError::NotFound(Noun::Leaderboard),
        Broken::Failed(error) => error,
    }
}

impl From<RankingError> for Broken {
    fn from(error: RankingError) -> Self {
        match error {
            RankingError::Overtaken(_) => Self::Overtaken,
            error => Self::Failed(error.into()),
        }
    }
}

impl From<LedgerError> for Broken {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}
