//! How many entries and watchers each leaderboard has, for the list of all leaderboards: queried once for all concurrent
//! readers.
//!
//! One build queries the ranking for every leaderboard, a few at a time. A reader who arrives during a build takes the result
//! of the next one. A result is cached for four times as long as its build took, so that no number of readers keeps the ranking
//! busy for more than a fifth of the time, but never for longer than a second.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::{domain::leaderboard::Board, repositories::feed::Feed};

use super::ranking_reader::RankingReader;

/// A result is cached for this many times the duration of its build; the second constant is the longest it is cached.
const KEPT: u32 = 4;
const OLDEST: Duration = Duration::from_secs(1);
/// Leaderboards queried at once: few, so that other calls find gaps between them.
const AT_ONCE: usize = 16;

/// Entries and watchers by incarnation.
pub type Numbers = Arc<HashMap<i64, (u64, u64)>>;

/// See the module's documentation.
pub struct Census {
    rankings: Arc<RankingReader>,
    feed: Arc<dyn Feed>,
    latest: Latest,
}

impl Census {
    pub fn new(rankings: Arc<RankingReader>, feed: Arc<dyn Feed>) -> Self {
        Self { rankings, feed, latest: Latest::default() }
    }

    /// The numbers of these boards, and perhaps of others.
    pub async fn of(&self, boards: Vec<Board>) -> Numbers {
        let pks: Vec<i64> = boards.iter().map(|board| board.pk).collect();
        self.latest.of(&pks, || self.build(boards)).await
    }

    async fn build(&self, boards: Vec<Board>) -> HashMap<i64, (u64, u64)> {
        let mut numbers = HashMap::with_capacity(boards.len());
        for some in boards.chunks(AT_ONCE) {
            let pks: Vec<i64> = some.iter().map(|board| board.pk).collect();
            let watchers = self.feed.watchers(&pks).await.unwrap_or_else(|_| vec![0; pks.len()]);
            let totals = join_all(some.iter().map(|&board| self.rankings.total(board))).await;
            numbers.extend(pks.into_iter().zip(totals.into_iter().zip(watchers)));
        }
        numbers
    }
}

/// The latest result. The lock is held during a build; the other readers wait for it, and mostly find what they need.
#[derive(Default)]
struct Latest(Mutex<Option<Answer>>);

struct Answer {
    begun: Instant,
    until: Instant,
    numbers: Numbers,
}

impl Latest {
    async fn of<F>(&self, pks: &[i64], build: impl FnOnce() -> F) -> Numbers
    where
        F: Future<Output = HashMap<i64, (u64, u64)>>,
    {
        let asked = Instant::now();
        let mut latest = self.0.lock().await;
        if let Some(found) = &*latest
            && (found.begun >= asked || Instant::now() < found.until)
            && pks.iter().all(|pk| found.numbers.contains_key(pk))
        {
            return Arc::clone(&found.numbers);
        }
        let begun = Instant::now();
        let numbers: Numbers = Arc::new(build().await);
        let ended = Instant::now();
        let until = ended + (KEPT * (ended - begun)).min(OLDEST);
        *latest = Some(Answer { begun, until, numbers: Arc::clone(&numbers) });
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_build_answers_all_who_wait() {
        let (latest, builds) = (Latest::default(), AtomicUsize::new(0));
        let build = || async {
            builds.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            HashMap::from([(1, (10, 2))])
        };
        let answers = join_all((0..100).map(|_| latest.of(&[1], build))).await;
        assert!(answers.iter().all(|numbers| numbers[&1] == (10, 2)));
        assert!(builds.load(Ordering::Relaxed) <= 2, "{builds:?}");
        let before = builds.load(Ordering::Relaxed);
        latest.of(&[1, 2], build).await;
        assert_eq!(builds.load(Ordering::Relaxed), before + 1, "what is not known yet is asked for");
    }
}
