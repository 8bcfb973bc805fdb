//! Reads of single entries, batched: reads that wait while a call to the ranking is in progress go out together in the next
//! one.
//!
//! A call costs the store more than each user in it does, so batching serves a crowd of single reads several times as fast. No
//! read is delayed to fill a batch: a call begins at once while fewer than `CALLS` are in progress. Every answer comes from a
//! call that began after its request arrived, so a client that has a receipt reads its own write.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    domain::{
        entry::{Head, Neighbourhood},
        ids::UserId,
        leaderboard::Board,
    },
    repositories::ranking_store::{RankingError, RankingStore},
};

/// Calls in progress at once for one board and distance: while the store executes one, the answer of the other is encoded.
const CALLS: usize = 2;
/// The most rows that one call requests, so that no call keeps the store busy for long.
const ROWS: u64 = 499;
/// The most users in one call.
const USERS: u64 = 64;

/// The answer to one user's read.
type Answer = Result<(Head, Neighbourhood), RankingError>;

/// See the module's documentation.
pub struct EntryReads {
    ranking_store: Arc<dyn RankingStore>,
    /// Waiting reads, and those whose call is in progress. Every one is a request, and the number of requests is bounded.
    queues: Mutex<HashMap<Key, Queue>>,
}

/// Incarnation, season, and neighbours on each side.
type Key = (i64, i64, u64);

#[derive(Default)]
struct Queue {
    waiting: Vec<(UserId, oneshot::Sender<Answer>)>,
    calls: usize,
}

impl EntryReads {
    pub fn new(ranking_store: Arc<dyn RankingStore>) -> Arc<Self> {
        Arc::new(Self { ranking_store, queues: Mutex::default() })
    }

    /// A user's entry with up to `around` entries on each side.
    pub async fn read(self: &Arc<Self>, board: Board, user: &UserId, around: u64) -> Answer {
        let (answer, answered) = oneshot::channel();
        let key = (board.pk, board.season, around);
        let starts = {
            let mut queues = self.queues.lock();
            let queue = queues.entry(key).or_default();
            queue.waiting.push((user.clone(), answer));
            let starts = queue.calls < CALLS;
            queue.calls += usize::from(starts);
            starts
        };
        if starts {
            // A task of its own, because the client that began it may disconnect while others wait for it.
            tokio::spawn(Caller { reads: Arc::clone(self), board, around, key, ended: false }.run());
        }
        answered.await.unwrap_or_else(|_| Err(RankingError::Unreachable("the call was given up".into())))
    }
}

/// One of the [`CALLS`] of a queue, for as long as any read waits.
struct Caller {
    reads: Arc<EntryReads>,
    board: Board,
    around: u64,
    key: Key,
    ended: bool,
}

impl Caller {
    async fn run(mut self) {
        while let Some((users, answers)) = self.next() {
            match self.reads.ranking_store.neighbourhoods(self.board, &users, self.around).await {
                Ok((head, found)) => {
                    for (answer, neighbourhood) in answers.into_iter().zip(found) {
                        answer.send(Ok((head.clone(), neighbourhood))).ok();
                    }
                }
                Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
            }
        }
    }

    /// The reads that have waited longest and whose clients are still connected. If there are none, the call ends under the
    /// same lock, so that the next read begins another call.
    fn next(&mut self) -> Option<(Vec<UserId>, Vec<oneshot::Sender<Answer>>)> {
        let most = (ROWS / (2 * self.around + 1)).clamp(1, USERS) as usize;
        let mut queues = self.reads.queues.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.waiting.retain(|(_, answer)| !answer.is_closed());
            let taken = queue.waiting.len().min(most);
            if taken > 0 {
                return Some(queue.waiting.drain(..taken).unzip());
            }
        }
        self.ended = true;
        end(&mut queues, &self.key);
        None
    }
}

impl Drop for Caller {
    /// Runs if the call panicked.
    fn drop(&mut self) {
        if !self.ended {
            end(&mut self.reads.queues.lock(), &self.key);
        }
    }
}

/// One call fewer. After the last one the queue is removed, and reads still in it learn that no call will serve them.
fn end(queues: &mut HashMap<Key, Queue>, key: &Key) {
    if let Some(queue) = queues.get_mut(key) {
        queue.calls -= 1;
        if queue.calls == 0 {
            queues.remove(key);
        }
    }
}
