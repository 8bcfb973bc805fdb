//! The one writer of the file. Transactions that wait for it together share a commit, and with it the wait for the disk.
//!
//! Whoever gets the connection runs what waits, in line, each in a savepoint of its own, so that an error takes back nothing but its own
//! transaction; what comes meanwhile is taken along. Nobody is answered before the commit they share.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
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

/// A clonable handle on the writer.
#[derive(Clone)]
pub struct Writer {
    waiting: Arc<Mutex<VecDeque<Box<dyn Waiting>>>>,
    /// Whoever waits here waits in line, which SQLite's own lock does not promise.
    connection: Arc<AsyncMutex<Conn>>,
}

/// A transaction that waits for the writer.
trait Waiting: Send {
    /// Whether nobody waits for its result any more.
    fn is_given_up(&self) -> bool;
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
        Self { waiting: Arc::default(), connection: Arc::new(AsyncMutex::new(connection)) }
    }

    /// The connection for oneself, as long as the guard is held.
    pub async fn alone(&self) -> OwnedMutexGuard<Conn> {
        self.connection.clone().lock_owned().await
    }

    /// Runs the body in a durable transaction. A caller that gives up takes back what has not begun.
    pub async fn write<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let (result, answer) = oneshot::channel();
        self.waiting.lock().push_back(Box::new(Body { body, result }));
        let mut turn = Turn { answer, waiting: &self.waiting };
        loop {
            let connection = tokio::select! {
                biased;
                answered = &mut turn.answer => {
                    return answered.unwrap_or_else(|_| Err(Failure::Unreachable("the transaction panicked".into())));
                }
                connection = self.alone() => connection,
            };
            let waiting = self.waiting.clone();
            // This caller's is mostly among those that ran; else it comes with the next commit.
            hop(move || commit_waiting(connection, &waiting)).await?;
        }
    }
}

/// A caller's place in the line, which it leaves when it gives up.
struct Turn<'a, R> {
    answer: oneshot::Receiver<Result<R, Failure>>,
    waiting: &'a Mutex<VecDeque<Box<dyn Waiting>>>,
}

impl<R> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        self.answer.close();
        self.waiting.lock().retain(|waiting| !waiting.is_given_up());
    }
}

/// Runs up to [`TOGETHER`] of those that wait in one transaction, and answers them. Where not even that can begin, it is the caller's own
/// failure: the others find out by themselves.
fn commit_waiting(mut connection: OwnedMutexGuard<Conn>, waiting: &Mutex<VecDeque<Box<dyn Waiting>>>) -> Result<(), Failure> {
    let mut ran: Vec<Box<dyn Ran>> = Vec::new();
    let mut refused = Ok(());
    for _ in 0..TOGETHER {
        let Some(next) = waiting.lock().pop_front() else { break };
        if next.is_given_up() {
            continue;
        }
        let first = ran.is_empty();
        let begun = if first { begin(&mut connection, "BEGIN IMMEDIATE") } else { plain(&mut connection, "SAVEPOINT body") };
        if let Err(failure) = begun {
            waiting.lock().push_front(next);
            refused = Err(failure);
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
            ran.drain(..).for_each(|one| one.answer(Err(Failure::Lost)));
        }
    }
    if ran.is_empty() {
        return refused;
    }
    let committed = plain(&mut connection, "COMMIT");
    if committed.is_err() {
        // Where the error ended the transaction by itself there is nothing left to take back, and SQLite says so.
        let _ = plain(&mut connection, "ROLLBACK");
    }
    // Whoever writes next need not wait for the answers.
    drop(connection);
    for one in ran {
        one.answer(committed.as_ref().copied().map_err(Failure::again));
    }
    refused
}

#[cfg(test)]
mod tests {
    use diesel::{QueryableByName, sql_query, sql_types::BigInt};
    use diesel_async::RunQueryDsl;
    use futures_util::future::{FutureExt, join_all};

    use super::{super::connection, *};

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }

    fn run(connection: &mut Conn, sql: &str) -> Result<usize, Failure> {
        Ok(sql_query(sql).execute(connection).now_or_never().unwrap()?)
    }

    async fn count(writer: &Writer) -> i64 {
        let counted = writer.write(|connection| {
            let counted = sql_query("SELECT count(*) AS n FROM numbers").get_result::<Count>(connection);
            Ok(counted.now_or_never().unwrap()?.n)
        });
        counted.await.unwrap()
    }

    async fn writer() -> Writer {
        let writer = Writer::new(connection::open(":memory:".as_ref()).unwrap());
        writer.write(|connection| run(connection, "CREATE TABLE numbers (n integer PRIMARY KEY)")).await.unwrap();
        writer
    }

    #[tokio::test]
    async fn an_error_takes_back_its_own_transaction_alone() {
        let writer = writer().await;
        let wrote = (0..40).map(|n| {
            writer.write(move |connection| {
                run(connection, &format!("INSERT INTO numbers VALUES ({n})"))?;
                match n % 4 {
                    1 => run(connection, "INSERT INTO numbers VALUES (0)"),
                    2 => Err(Failure::Trial),
                    3 if n < 8 => panic!("on purpose"),
                    _ => Ok(1),
                }
            })
        });
        let wrote = join_all(wrote).await;
        for (n, wrote) in wrote.iter().enumerate() {
            assert_eq!(wrote.is_ok(), n % 4 == 0 || (n % 4 == 3 && n >= 8), "{n}: {wrote:?}");
        }
        assert_eq!(count(&writer).await, wrote.iter().filter(|wrote| wrote.is_ok()).count() as i64);
    }

    /// As a full disk does: SQLite rolls the whole transaction back by itself.
    #[tokio::test]
    async fn an_error_that_ends_the_transaction_loses_those_before_it_and_they_know() {
        let writer = writer().await;
        let held = writer.alone().await;
        let insert = |sql: &'static str| writer.write(move |connection| run(connection, sql));
        let wrote = join_all([
            insert("INSERT INTO numbers VALUES (1)"),
            insert("INSERT INTO numbers VALUES (2)"),
            insert("INSERT OR ROLLBACK INTO numbers VALUES (1)"),
            insert("INSERT INTO numbers VALUES (4)"),
        ]);
        let (wrote, ()) = tokio::join!(wrote, async {
            tokio::task::yield_now().await;
            drop(held);
        });
        let lost = wrote.iter().map(|wrote| matches!(wrote, Err(Failure::Lost))).collect::<Vec<_>>();
        assert_eq!(lost, [true, true, false, false], "{wrote:?}");
        assert!(wrote[2].is_err() && wrote[3].is_ok());
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn whoever_gives_up_in_line_writes_nothing() {
        let writer = writer().await;
        let held = writer.alone().await;
        let given_up = writer.write(|connection| run(connection, "INSERT INTO numbers VALUES (1)"));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), given_up).await.is_err());
        assert!(writer.waiting.lock().is_empty());
        drop(held);
        assert_eq!(count(&writer).await, 0);
    }
}
