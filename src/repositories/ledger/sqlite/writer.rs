//! The only writer of the file. Waiting writes of scores and receipts share a commit, and with it the wait for the disk.
//!
//! The caller that gets the connection runs the waiting transactions in order, each in a savepoint of its own, so that an error
//! rolls back nothing but its own transaction; those that arrive meanwhile are included. None is answered before the shared
//! commit. If that fails, or an error ends the transaction for all, the faultless ones get [`Failure::Lost`] and are repeated
//! by their callers; the next commits hold one transaction each, so that the faulty one identifies itself.

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

/// The most transactions that share a commit: the first must not wait for all that come after.
const TOGETHER: usize = 16;

/// The number of commits with one transaction each after one that failed for several.
const APART: u32 = 32;

/// A clonable handle on the writer.
#[derive(Clone)]
pub struct Writer {
    line: Arc<Line>,
    /// Callers wait here in FIFO order, which SQLite's own lock does not guarantee.
    connection: Arc<AsyncMutex<Conn>>,
}

/// The queue for the writer.
#[derive(Default)]
struct Line {
    waiting: Mutex<VecDeque<Box<dyn Waiting>>>,
    /// The remaining commits with one transaction each.
    apart: AtomicU32,
}

/// A transaction that waits for the writer.
trait Waiting: Send {
    /// Whether the caller no longer waits for its result.
    fn is_given_up(&self) -> bool;
    /// It cannot begin: fails it.
    fn refuse(self: Box<Self>, failure: Failure);
    /// Runs the body; returns whether it succeeded, and the transaction that waits for the commit.
    fn run(self: Box<Self>, connection: &mut Conn) -> (bool, Box<dyn Ran>);
}

/// A transaction that waits for the commit.
trait Ran: Send {
    /// Reports the result: the body's own failure, or the outcome of the commit.
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

/// Stands for a body that panicked: its caller learns it from the dropped channel.
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

    /// Exclusive use of the connection, as long as the guard is held.
    pub async fn alone(&self) -> OwnedMutexGuard<Conn> {
        self.connection.clone().lock_owned().await
    }

    /// Runs the body in a durable transaction. A caller that gives up withdraws what has not begun; one that gets
    /// [`Failure::Lost`] has written nothing.
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
            // This caller's transaction is usually among those that ran; if not, it is in the next commit. Only its answer
            // shows which.
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

/// A caller's place in the queue, which it leaves when it gives up.
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

/// Runs up to [`TOGETHER`] waiting transactions in one transaction, and answers them.
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
            // It gets its own failure, whichever caller runs the commit. The others get theirs when they try.
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
            // The error ended the transaction by itself, and rolled back those before it, too. For the first one there was
            // nothing left to do.
            let _ = plain(&mut connection, "ROLLBACK");
            lose(line, &mut ran);
        }
    }
    if ran.is_empty() {
        return;
    }
    let committed = plain(&mut connection, "COMMIT");
    if committed.is_err() {
        // If the error ended the transaction by itself there is nothing left to roll back, and SQLite reports that.
        let _ = plain(&mut connection, "ROLLBACK");
    }
    // All are answered before the connection is released: a caller that has its answer does not try to write.
    match committed {
        Err(failure) if ran.len() == 1 => ran.into_iter().zip([failure]).for_each(|(one, failure)| one.answer(Err(failure))),
        Err(_) => lose(line, &mut ran),
        Ok(()) => ran.into_iter().for_each(|one| one.answer(Ok(()))),
    }
}

/// None of these was committed, and it is not known which one is at fault.
fn lose(line: &Line, ran: &mut Vec<Box<dyn Ran>>) {
    if !ran.is_empty() {
        line.apart.store(APART, Relaxed);
    }
    ran.drain(..).for_each(|one| one.answer(Err(Failure::Lost)));
}

#[cfg(test)]
mod tests;
