//! The one writer of the file. Scores and receipts that wait for it together share a commit, and with it the wait for the disk.
//!
//! Whoever gets the connection runs what waits, in line, each in a savepoint of its own, so that an error takes back nothing but its own
//! transaction; what comes meanwhile is taken along. Nobody is answered before the commit they share. Where that fails, or an error ends the
//! transaction for all, those who did nothing wrong are told [`Failure::Lost`], and repeat theirs; the next commits are of one each, so that the
//! one at fault finds itself.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot};

use super::{
    Conn, Failure,
    connection::{begin, plain},
    hop,
};

/// Transactions that share a commit at the most: whoever came first is not to wait for all that come after.
const TOGETHER: usize = 16;

/// Commits that are of one transaction each after one that failed for several.
const APART: u32 = 32;

/// A clonable handle on the writer.
#[derive(Clone)]
pub struct Writer {
    line: Arc<Line>,
    /// Whoever waits here waits in line, which SQLite's own lock does not promise.
    connection: Arc<AsyncMutex<Conn>>,
}

/// What waits for the writer.
#[derive(Default)]
struct Line {
    waiting: Mutex<VecDeque<Box<dyn Waiting>>>,
    /// Commits that are still of one transaction each.
    apart: AtomicU32,
}

/// A transaction that waits for the writer.
trait Waiting: Send {
    /// Whether nobody waits for its result any more.
    fn is_given_up(&self) -> bool;
    /// It cannot begin.
    fn refuse(self: Box<Self>, failure: Failure);
    /// Runs the body; answers whether it succeeded, and who waits for the commit.
    fn run(self: Box<Self>, connection: &mut Conn) -> (bool, Box<dyn Ran>);
}

/// A transaction that waits for the commit.
trait Ran: Send {
    /// Tells the result: the body's own failure, or what became of the commit.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

struct Body<R, F> {
    body: F,
    result: oneshot::Sender<Result<R, Failure>>,
}

struct Done<R> {
    outcome: Result<R, Failure>,
    result: oneshot::Sender<Result<R, Failure>>,
}

/// Of a body that panicked: its caller learns it by the drop of its channel.
struct Panicked;

impl<R, F> Waiting for Body<R, F>
where
    R: Send + 'static,
    F: FnOnce(&mut Conn) -> Result<R, Failure> + Send,
{
    fn is_given_up(&self) -> bool {
        self.result.is_closed()
    }

    fn refuse(self: Box<Self>, failure: Failure) {
        self.result.send(Err(failure)).ok();
    }

    fn run(self: Box<Self>, connection: &mut Conn) -> (bool, Box<dyn Ran>) {
        let Self { body, result } = *self;
        match catch_unwind(AssertUnwindSafe(|| body(connection))) {
            Ok(outcome) => (outcome.is_ok(), Box::new(Done { outcome, result })),
            Err(_) => (false, Box::new(Panicked)),
        }
    }
}

impl<R: Send> Ran for Done<R> {
    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        let outcome = self.outcome.and_then(|value| committed.map(|()| value));
        self.result.send(outcome).ok();
    }
}

impl Ran for Panicked {
    fn answer(self: Box<Self>, _: Result<(), Failure>) {}
}

impl Writer {
    pub fn new(connection: Conn) -> Self {
        Self { line: Arc::default(), connection: Arc::new(AsyncMutex::new(connection)) }
    }

    /// The connection for oneself, as long as the guard is held.
    pub async fn alone(&self) -> OwnedMutexGuard<Conn> {
        self.connection.clone().lock_owned().await
    }

    /// Runs the body in a durable transaction. A caller that gives up takes back what has not begun; one that is answered [`Failure::Lost`]
    /// has written nothing.
    pub async fn write<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let (result, answer) = oneshot::channel();
        self.line.waiting.lock().push_back(Box::new(Body { body, result }));
        let mut turn = Turn { answer, line: &self.line };
        loop {
            let connection = tokio::select! {
                biased;
                answered = &mut turn.answer => {
                    return answered.unwrap_or_else(|_| Err(Failure::Unreachable("the transaction panicked".into())));
                }
                connection = self.alone() => connection,
            };
            let line = self.line.clone();
            // This caller's is mostly among those that ran; else it comes with the next commit. Either way it learns by its answer alone.
            let led = hop(move || {
                commit_waiting(connection, &line);
                Ok(())
            });
            if let Err(failure) = led.await {
                turn.answer.close();
                return turn.answer.try_recv().unwrap_or(Err(failure));
            }
        }
    }
}

/// A caller's place in the line, which it leaves when it gives up.
struct Turn<'a, R> {
    answer: oneshot::Receiver<Result<R, Failure>>,
    line: &'a Line,
}

impl<R> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        self.answer.close();
        self.line.waiting.lock().retain(|waiting| !waiting.is_given_up());
    }
}

/// Runs up to [`TOGETHER`] of those that wait in one transaction, and answers them.
fn commit_waiting(mut connection: OwnedMutexGuard<Conn>, line: &Line) {
    let mut ran: Vec<Box<dyn Ran>> = Vec::new();
    let apart = line.apart.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
    for _ in 0..if apart { 1 } else { TOGETHER } {
        let Some(next) = line.waiting.lock().pop_front() else { break };
        if next.is_given_up() {
            continue;
        }
        let first = ran.is_empty();
        let begun = if first { begin(&mut connection, "BEGIN IMMEDIATE") } else { plain(&mut connection, "SAVEPOINT body") };
        if let Err(failure) = begun {
            // Its own failure, whoever leads. The others find out by themselves.
            next.refuse(failure);
            break;
        }
        let (succeeded, one) = next.run(&mut connection);
        let ended = match (succeeded, first) {
            (true, true) => Ok(()),
            (true, false) => plain(&mut connection, "RELEASE body"),
            (false, true) => plain(&mut connection, "ROLLBACK"),
            (false, false) => plain(&mut connection, "ROLLBACK TO body; RELEASE body"),
        };
        match succeeded && ended.is_ok() {
            true => ran.push(one),
            false => one.answer(Err(Failure::Lost)),
        }
        if ended.is_err() {
            // The error ended the transaction by itself, and took back those before it, too. For the first one there was nothing left to do.
            let _ = plain(&mut connection, "ROLLBACK");
            lose(line, &mut ran);
        }
    }
    if ran.is_empty() {
        return;
    }
    let committed = plain(&mut connection, "COMMIT");
    if committed.is_err() {
        // Where the error ended the transaction by itself there is nothing left to take back, and SQLite says so.
        let _ = plain(&mut connection, "ROLLBACK");
    }
    // All are answered before the connection is free: whoever is answered does not try to write.
    match committed {
        Err(failure) if ran.len() == 1 => ran.into_iter().zip([failure]).for_each(|(one, failure)| one.answer(Err(failure))),
        Err(_) => lose(line, &mut ran),
        Ok(()) => ran.into_iter().for_each(|one| one.answer(Ok(()))),
    }
}

/// Nothing of these was committed, and it is not known whose fault that is.
fn lose(line: &Line, ran: &mut Vec<Box<dyn Ran>>) {
    if !ran.is_empty() {
        line.apart.store(APART, Relaxed);
    }
    ran.drain(..).for_each(|one| one.answer(Err(Failure::Lost)));
}

#[cfg(test)]
mod tests;
