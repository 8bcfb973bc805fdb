//! The memory that requests and their answers may occupy until they are sent: of one client address, and of all.
//!
//! From its head on a request is charged with what its answer is likely to need, and an answer with its actual size, both until
//! the last byte is with the kernel. Large ones wait for room; small ones are admitted up to twice the limit, so that clients
//! that share an address with one that does not read can still post and look. A small request with a small answer is free while
//! it is the only one of its connection: the number of connections bounds these, and nearly all requests are of this kind.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hyper::body::Body;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

/// A request expected to need no more than this does not wait.
const SMALL: usize = 128 * 1024;
/// An answer of no more than this may be free.
const FREE: usize = 16 * 1024;
/// What a request occupies by itself.
const HEAD: usize = 4 * 1024;
/// The assumed size of a body that does not state its length.
const UNKNOWN_BODY: usize = 48 * 1024;
/// The assumed size of one entry while an answer is built: as it was read, and its JSON in a buffer that doubles as it fills.
const ROW: usize = 1024;
/// The assumed size of an answer that is compressed while it is sent: the rest of it, and the compressor.
const COMPRESSOR: usize = 384 * 1024;
/// The most that is expected of any request.
const MOST_EXPECTED: usize = 1024 * 1024;

/// Bytes of one client address. When they are used up, large requests wait; at twice as many everything is refused.
const ADDRESS: usize = 4 * 1024 * 1024;
/// Bytes of all clients. When they are used up, large requests wait. Small ones are bounded by the number of connections.
const EVERYBODY: usize = 96 * 1024 * 1024;
/// How long a request waits for room.
const TURN: Duration = Duration::from_secs(10);

static REFUSED: LazyLock<Counter> = LazyLock::new(|| counter!("scoreboard_requests_refused_total"));

/// A shared number of bytes.
struct Pool {
    limit: usize,
    held: AtomicUsize,
    /// The waiting requests, in FIFO order: the first of them waits for `room`.
    turn: tokio::sync::Mutex<()>,
    room: Notify,
}

/// Bytes taken from a pool; given back when dropped.
struct Share {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Pool {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0), turn: tokio::sync::Mutex::default(), room: Notify::new() })
    }

    fn take(self: &Arc<Self>, bytes: usize, limit: usize) -> Option<Share> {
        // A single holder may exceed the limit.
        let fits = |held: usize| (held == 0 || held + bytes <= limit).then_some(held + bytes);
        self.held.fetch_update(SeqCst, SeqCst, fits).ok().map(|_| Share { pool: Arc::clone(self), bytes })
    }

    fn take_unless_others_wait(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let _turn = self.turn.try_lock().ok()?;
        self.take(bytes, self.limit)
    }

    async fn take_in_turn(self: &Arc<Self>, bytes: usize) -> Share {
        let _turn = self.turn.lock().await;
        loop {
            let room = self.room.notified();
            if let Some(share) = self.take(bytes, self.limit) {
                return share;
            }
            room.await;
        }
    }
}

impl Share {
    fn give_back(&mut self, bytes: usize) {
        if bytes > 0 {
            self.bytes -= bytes;
            let before = self.pool.held.fetch_sub(bytes, SeqCst);
            // Nothing waits while half of it is free: nothing large is expected to be larger.
            if before > self.pool.limit / 2 {
                self.pool.room.notify_one();
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// The budget of one client address.
pub(super) struct Account {
    own: Arc<Pool>,
    everybody: Arc<Pool>,
}

/// There is no room for a request or its answer.
#[derive(Debug)]
pub(super) struct Exhausted;

/// What one request and its answer occupy; given back when dropped.
#[derive(Default)]
pub(super) struct Expense {
    /// `None` for free ones.
    own: Option<Share>,
    /// Set for large ones.
    everybody: Option<Share>,
}

impl Expense {
    /// Whether an answer of this size leaves a request free that was free so far.
    pub fn stays_free(&self, actual: usize) -> bool {
        self.own.is_none() && actual <= FREE
    }
}

impl Account {
    /// Room for a request that is expected to need this much. Large ones wait for it.
    pub async fn admit(&self, expected: usize) -> Result<Expense, Exhausted> {
        if expected <= SMALL {
            let own = self.own.take(expected, 2 * self.own.limit).ok_or_else(refused)?;
            return Ok(Expense { own: Some(own), everybody: None });
        }
        if let Some(own) = self.own.take_unless_others_wait(expected)
            && let Some(everybody) = self.everybody.take_unless_others_wait(expected)
        {
            return Ok(Expense { own: Some(own), everybody: Some(everybody) });
        }
        let in_turn = async {
            let own = self.own.take_in_turn(expected).await;
            Expense { own: Some(own), everybody: Some(self.everybody.take_in_turn(expected).await) }
        };
        timeout(TURN, in_turn).await.map_err(|_| refused())
    }

    /// The answer has this actual size: returns what it does not need, or takes more. `is_owed`: it is sent in any case,
    /// because the requested change is done.
    pub fn settle(&self, expense: &mut Expense, actual: usize, is_owed: bool) -> Result<(), Exhausted> {
        resize(&mut expense.own, &self.own, actual, is_owed)?;
        if actual <= FREE {
            expense.everybody = None;
            return Ok(());
        }
        resize(&mut expense.everybody, &self.everybody, actual, is_owed)
    }
}

/// Resizes a share to what is needed, up to twice the limit of its pool if it may be refused.
fn resize(share: &mut Option<Share>, pool: &Arc<Pool>, bytes: usize, is_owed: bool) -> Result<(), Exhausted> {
    let limit = if is_owed { usize::MAX } else { 2 * pool.limit };
    let has = share.as_ref().map_or(0, |share| share.bytes);
    if let Some(share) = share.as_mut().filter(|_| bytes <= has) {
        share.give_back(has - bytes);
        return Ok(());
    }
    let mut larger = pool.take(bytes - has, limit).ok_or_else(refused)?;
    larger.bytes += share.as_mut().map_or(0, |share| std::mem::take(&mut share.bytes));
    *share = Some(larger);
    Ok(())
}

fn refused() -> Exhausted {
    REFUSED.increment(1);
    Exhausted
}

/// All accounts.
pub(super) struct Budget {
    everybody: Arc<Pool>,
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    by_address: HashMap<IpAddr, Arc<Account>>,
    /// At this many, unused accounts are removed.
    sweep_at: usize,
}

impl Budget {
    pub fn new() -> Self {
        Self { everybody: Pool::new(EVERYBODY), accounts: Mutex::default() }
    }

    /// The account of an address (IPv6: the caller gives the /64).
    pub fn account(&self, address: IpAddr) -> Arc<Account> {
        let mut accounts = self.accounts.lock();
        if accounts.by_address.len() >= accounts.sweep_at {
            accounts.by_address.retain(|_, account| Arc::strong_count(account) > 1 || Arc::strong_count(&account.own) > 1);
            accounts.sweep_at = (2 * accounts.by_address.len()).max(64);
        }
        let new = || Arc::new(Account { own: Pool::new(ADDRESS), everybody: Arc::clone(&self.everybody) });
        Arc::clone(accounts.by_address.entry(address).or_insert_with(new))
    }
}

/// What a request and its answer are likely to occupy: by the request's body, because batches are answered item by item, and by
/// the number of entries that it requests.
pub(super) fn expected<B: Body>(request: &hyper::Request<B>) -> usize {
    let hint = request.body().size_hint();
    let body = hint.upper().map_or(UNKNOWN_BODY, |bytes| bytes.min(MOST_EXPECTED as u64) as usize);
    let rows = request.uri().query().map_or(0, rows);
    rows.saturating_mul(ROW).saturating_add(HEAD + 2 * body).min(MOST_EXPECTED)
}

/// Whether a request with this expectation is free until its answer is there, if it is the only one of its connection.
pub(super) fn may_be_free(expected: usize) -> bool {
    expected <= SMALL
}

/// What an answer with this body occupies.
pub(super) fn occupied<B: Body>(body: &B) -> usize {
    HEAD + body.size_hint().exact().map_or(COMPRESSOR, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX / 4))
}

fn rows(query: &str) -> usize {
    let limit = query.split('&').find_map(|pair| pair.strip_prefix("limit="));
    limit.and_then(|limit| limit.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 256 * 1024;

    fn account(budget: &Budget) -> Arc<Account> {
        budget.account([192, 0, 2, 1].into())
    }

    #[tokio::test]
    async fn large_requests_wait_and_small_ones_go_on() {
        let budget = Budget::new();
        let account = account(&budget);
        let mut held = Vec::new();
        for _ in 0..ADDRESS / LARGE {
            held.push(account.admit(LARGE).await.unwrap());
        }
        assert!(account.admit(SMALL).await.is_ok());
        let other = budget.account([192, 0, 2, 2].into());
        assert!(other.admit(LARGE).await.is_ok(), "another address has its own");
        let waiting = account.admit(LARGE);
        let freed = async { drop(held.pop()) };
        let (waited, _) = tokio::join!(waiting, freed);
        assert!(waited.is_ok());
        assert!(timeout(Duration::from_millis(20), account.admit(LARGE)).await.is_err(), "all is taken again");
        drop(waited);
        assert!(account.admit(LARGE).await.is_ok(), "who has stopped waiting is in nobody's way");
    }

    #[tokio::test]
    async fn an_answer_that_is_larger_than_expected_is_counted_or_refused() {
        for is_free in [false, true] {
            let budget = Budget::new();
            let account = account(&budget);
            let begin = async || if is_free { Ok(Expense::default()) } else { account.admit(HEAD).await };
            let mut expenses = Vec::new();
            while let Ok(mut expense) = begin().await
                && account.settle(&mut expense, LARGE, false).is_ok()
            {
                expenses.push(expense);
            }
            assert_eq!(expenses.len(), 2 * ADDRESS / LARGE);
            assert_eq!(budget.everybody.held.load(SeqCst), 2 * ADDRESS);
            let mut owed = Expense::default();
            account.settle(&mut owed, LARGE, true).expect("what is done is answered");
            drop((expenses, owed));
            assert_eq!((account.own.held.load(SeqCst), budget.everybody.held.load(SeqCst)), (0, 0));
        }
    }

    #[tokio::test]
    async fn large_requests_give_back_what_they_do_not_need() {
        let budget = Budget::new();
        let account = account(&budget);
        let mut expense = account.admit(LARGE).await.unwrap();
        account.settle(&mut expense, HEAD, false).unwrap();
        assert_eq!((account.own.held.load(SeqCst), budget.everybody.held.load(SeqCst)), (HEAD, 0));
        assert!(!expense.stays_free(HEAD) && Expense::default().stays_free(HEAD) && !Expense::default().stays_free(LARGE));
    }

    #[test]
    fn expectations_follow_the_request() {
        let expected = |uri: &str| expected(&hyper::Request::builder().uri(uri).body(String::new()).unwrap());
        assert_eq!(expected("/api/leaderboard"), HEAD);
        assert_eq!(expected("/api/leaderboard?fromRank=7&limit=100"), HEAD + 100 * ROW);
        assert_eq!(expected("/api/leaderboard?limit=99999999999999999999"), HEAD);
        assert_eq!(expected("/api/leaderboard?limit=9999999999999999999"), MOST_EXPECTED);
    }
}
