//! Reads a ranking: from the ranking store, or from the ledger while the ranking is being rebuilt or is unreachable.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{
        entry::{Head, Neighbourhood, Window},
        ids::UserId,
        leaderboard::Board,
        version::Version,
    },
    repositories::{
        ledger::Ledger,
        ranking_store::{RankingError, RankingStore},
    },
};

use super::{
    changes::Changes,
    entry_reads::EntryReads,
    error::ServiceError,
    rebuild::Rebuilder,
    turns::{self, Turns},
};

/// How long a read waits for a version that this instance's ranking has not reached.
const MIN_VERSION_WAIT: Duration = Duration::from_secs(1);
const MIN_VERSION_POLL: Duration = Duration::from_millis(5);
const MIN_VERSION_PAUSE: Duration = Duration::from_millis(100);
/// How old an answer from the ledger may be before the ledger is queried again: this protects the database after the rankings
/// are lost.
const COPY_AGE: Duration = Duration::from_millis(250);
/// How old what somebody is looked for in may be: the ranking is asked anew once in that time, however many look.
const RECENT_AGE: Duration = Duration::from_secs(1);
/// How old the ledger's count of a large board may be before it counts again. Counting a board of a million takes a tenth of a
/// second, so repeated counts would take all the time that its rebuild needs; it does not matter that newcomers of the last two
/// seconds are missing from so large a total.
const COUNT_AGE: Duration = Duration::from_secs(2);
const LARGE: u64 = 50_000;
/// The most copies that are cached, and the most rows that they may have together; beyond that all are dropped.
const COPIES: usize = 512;
const COPIED_ROWS: u64 = 32 * 1024;

/// The source of an answer, for `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The ranking, by the name of its store.
    RankingStore(&'static str),
    /// A cached copy in this instance, from either: the ledger's is younger than 250 ms, the ranking's has not changed since.
    Copy,
    Ledger,
    /// An ended season, which has been read to its end.
    Archive,
}

/// An answer and its source.
#[derive(Debug, Clone)]
pub struct Served<T> {
    pub value: T,
    pub source: Source,
}

type CopyKey = (i64, i64, u64, u64);
/// The ledger's answer and when it was given. The lock lets one of many readers query while the others wait for its answer.
type Copy = Arc<tokio::sync::Mutex<Option<(Instant, Window)>>>;

/// See the module's documentation.
pub struct RankingReader {
    ranking_store: Arc<dyn RankingStore>,
    entry_reads: Arc<EntryReads>,
    ledger: Ledger,
    rebuilder: Arc<Rebuilder>,
    /// What this instance knows of changes, for the caches.
    pub changes: Arc<Changes>,
    /// The ledger's newest windows by incarnation, season, first rank and limit. At most [`COPIES`], with [`COPIED_ROWS`].
    copies: Mutex<HashMap<CopyKey, Copy>>,
    /// The newest windows of [`Self::recent_window`], likewise bounded.
    recent: Mutex<HashMap<CopyKey, Copy>>,
    /// The ledger's newest counts of large boards by incarnation and season, and when they were taken. At most [`COPIES`].
    counts: Mutex<HashMap<(i64, i64), (Instant, u64)>>,
    /// Limits the readers of a lost ranking, so that the ledger stays available to writers.
    turns: Arc<Turns>,
}

impl RankingReader {
    pub fn new(
        ranking_store: Arc<dyn RankingStore>,
        ledger: Ledger,
        rebuilder: Arc<Rebuilder>,
        changes: Arc<Changes>,
        turns: Arc<Turns>,
    ) -> Arc<Self> {
        let entry_reads = EntryReads::new(Arc::clone(&ranking_store));
        let (copies, recent, counts) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { ranking_store, entry_reads, ledger, rebuilder, changes, copies, recent, counts, turns })
    }

    /// Up to `limit` entries from `from_rank` on; with `min_version`, as of that version or later.
    pub async fn window(
        &self,
        board: Board,
        from_rank: u64,
        limit: u64,
        min_version: Option<&Version>,
    ) -> Result<Served<Window>, ServiceError> {
        let deadline = Instant::now() + MIN_VERSION_WAIT;
        let mut pause = MIN_VERSION_POLL;
        loop {
            match self.believed(board, self.ranking_store.window(board, from_rank, limit)).await {
                Ok(window) if min_version.is_none_or(|min| contains(&window.head, min)) => {
                    return Ok(Served { value: window, source: Source::RankingStore(self.ranking_store.name()) });
                }
                Ok(_) => {}
                // A version means that its change is committed: the ledger itself has it, a cached copy perhaps not yet.
                Err(error) => {
                    self.note(board, &error);
                    return self.window_from_ledger(board, from_rank, limit, min_version.is_none()).await;
                }
            }
            // The window is read again only when its version may have been reached: waiting must stay cheaper than reading.
            while self
                .believed(board, self.ranking_store.head(board))
                .await
                .is_ok_and(|head| min_version.is_some_and(|min| !contains(&head, min)))
            {
                if Instant::now() >= deadline {
                    return Err(ServiceError::NotYet);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MIN_VERSION_PAUSE);
            }
        }
    }

    /// Up to `limit` entries from `from_rank` on, as they were at most a second ago: read once for all who look for somebody there.
    pub async fn recent_window(&self, board: Board, from_rank: u64, limit: u64) -> Result<Window, ServiceError> {
        let slot = make_room(&mut self.recent.lock(), (board.pk, board.season, from_rank, limit)).clone();
        let mut recent = timeout_at(Instant::now() + turns::WAIT, slot.lock()).await.map_err(|_| ServiceError::Overloaded)?;
        if let Some((at, window)) = &*recent
            && at.elapsed() < RECENT_AGE
        {
            return Ok(window.clone());
        }
        let at = Instant::now();
        let window = self.window(board, from_rank, limit, None).await?.value;
        *recent = Some((at, window.clone()));
        Ok(window)
    }

    /// One user's entry with up to `around` entries on each side, all from one state.
    pub async fn neighbourhood(
        &self,
        board: Board,
        user: &UserId,
        around: u64,
    ) -> Result<Served<(Head, Neighbourhood)>, ServiceError> {
        let users = std::slice::from_ref(user);
        let Served { value: (head, mut found), source } = if self.ranking_store.is_remote() {
            let read = async { self.entry_reads.read(board, user, around).await.map(|(head, found)| (head, vec![found])) };
            self.neighbourhoods_by(read, board, users, around).await?
        } else {
            self.neighbourhoods(board, users, around).await?
        };
        let value = (head, found.pop().ok_or_else(|| ServiceError::Internal("a user was left out of the answer".into()))?);
        Ok(Served { value, source })
    }

    /// Each user's entry with up to `around` entries on each side, all from one state.
    pub async fn neighbourhoods(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
    ) -> Result<Served<(Head, Vec<Neighbourhood>)>, ServiceError> {
        self.neighbourhoods_by(self.ranking_store.neighbourhoods(board, users, around), board, users, around).await
    }

    /// The same of a season that has just ended with so many entries, from the ledger.
    pub async fn past_neighbourhoods(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
        total: u64,
    ) -> Result<(Head, Vec<Neighbourhood>), ServiceError> {
        let _turn = self.turns.next().await?;
        Ok(self.ledger.neighbourhoods_of(board, users, around, Some(total)).await?)
    }

    /// The ranking's answer, which is queried once, or else the ledger's.
    async fn neighbourhoods_by(
        &self,
        asked: impl Future<Output = Result<(Head, Vec<Neighbourhood>), RankingError>>,
        board: Board,
        users: &[UserId],
        around: u64,
    ) -> Result<Served<(Head, Vec<Neighbourhood>)>, ServiceError> {
        match self.believed(board, asked).await {
            Ok(value) => Ok(Served { value, source: Source::RankingStore(self.ranking_store.name()) }),
            Err(error) => {
                self.note(board, &error);
                let _turn = self.turns.next().await?;
                let count = self.count(board);
                let value = self.ledger.neighbourhoods_of(board, users, around, count).await?;
                self.keep_count(board, count, &value.0);
                Ok(Served { value, source: Source::Ledger })
            }
        }
    }

    /// Entries in each ranking, 0 if neither store answers.
    pub async fn total(&self, board: Board) -> u64 {
        match self.head(board).await {
            Some(served) => served.value.total,
            None => self.window_from_ledger(board, 1, 1, true).await.map_or(0, |served| served.value.head.total),
        }
    }

    /// Version and total of the ranking; `None` if it does not answer, or lacks something.
    pub async fn head(&self, board: Board) -> Option<Served<Head>> {
        let head = self.believed(board, self.ranking_store.head(board)).await.inspect_err(|error| self.note(board, error));
        head.ok().map(|value| Served { value, source: Source::RankingStore(self.ranking_store.name()) })
    }

    /// The ranking's answer, provided that it lacks nothing that is committed. A ranking that refuses announcements still
    /// answers.
    async fn believed<T>(&self, board: Board, asked: impl Future<Output = Result<T, RankingError>>) -> Result<T, RankingError> {
        if self.rebuilder.is_behind(board.pk) {
            return Err(RankingError::Refused("it lacks what it was to be told".into()));
        }
        asked.await
    }

    /// Starts a rebuild of a ranking that is not ready, or of a later season than the ledger knows: it decides.
    fn note(&self, board: Board, error: &RankingError) {
        if error.calls_for_a_rebuild() {
            self.rebuilder.kick(board);
        }
        tracing::debug!(leaderboard = board.pk, %error, "serving from the ledger");
    }

    /// The number of entries, if the board is large and was counted recently.
    fn count(&self, board: Board) -> Option<u64> {
        let counted = *self.counts.lock().get(&(board.pk, board.season))?;
        (counted.0.elapsed() < COUNT_AGE).then_some(counted.1)
    }

    fn keep_count(&self, board: Board, known: Option<u64>, head: &Head) {
        if known.is_none() && head.total >= LARGE {
            let mut counts = self.counts.lock();
            if counts.len() >= COPIES {
                counts.clear();
            }
            counts.insert((board.pk, board.season), (Instant::now(), head.total));
        }
    }

    async fn window_from_ledger(
        &self,
        board: Board,
        from_rank: u64,
        limit: u64,
        copy_will_do: bool,
    ) -> Result<Served<Window>, ServiceError> {
        let deadline = Instant::now() + turns::WAIT;
        if !copy_will_do {
            let _turn = self.turns.before(deadline).await?;
            return Ok(Served { value: self.ledger.window(board, from_rank, limit).await?, source: Source::Ledger });
        }
        let slot = {
            let mut copies = self.copies.lock();
            make_room(&mut copies, (board.pk, board.season, from_rank, limit)).clone()
        };
        let mut copy = timeout_at(deadline, slot.lock()).await.map_err(|_| ServiceError::Overloaded)?;
        match &*copy {
            Some((at, window)) if at.elapsed() < COPY_AGE => Ok(Served { value: window.clone(), source: Source::Copy }),
            _ => {
                let _turn = self.turns.before(deadline).await?;
                let count = self.count(board);
                let window = self.ledger.window_of(board, from_rank, limit, count).await?;
                self.keep_count(board, count, &window.head);
                *copy = Some((Instant::now(), window.clone()));
                Ok(Served { value: window, source: Source::Ledger })
            }
        }
    }
}

/// The slot for a copy. A reader that requests one window after the other fills no memory with them.
fn make_room(copies: &mut HashMap<CopyKey, Copy>, key: CopyKey) -> &Copy {
    let rows = |copies: &HashMap<CopyKey, Copy>| copies.keys().map(|(.., limit)| limit).sum::<u64>();
    if !copies.contains_key(&key) && (copies.len() >= COPIES || rows(copies) + key.3 > COPIED_ROWS) {
        copies.clear();
    }
    copies.entry(key).or_default()
}

/// Whether the state at a version contains what was announced at `min`. A state of a later epoch does: epochs begin by loading
/// everything that is committed.
pub fn reached(version: &Version, min: &Version) -> bool {
    if version.epoch == min.epoch { version.seq >= min.seq } else { version.epoch > min.epoch }
}

fn contains(head: &Head, min: &Version) -> bool {
    head.version.as_ref().is_some_and(|version| reached(version, min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_take_a_bounded_number_of_rows() {
        for limit in [1, 10, 1000] {
            let mut copies = HashMap::new();
            for first in 0..2000 {
                make_room(&mut copies, (1, 1, first, limit));
                assert!(copies.len() <= COPIES && copies.len() as u64 * limit <= COPIED_ROWS);
            }
            make_room(&mut copies, (1, 1, 1999, limit));
            assert!(copies.contains_key(&(1, 1, 1999, limit)));
        }
    }
}
