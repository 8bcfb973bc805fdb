//! The ledger in PostgreSQL: a pool of connections, and transactions on them.

mod batch;
mod clock;
mod connection;
mod locks;
mod place;
mod pool;
#[allow(clippy::duplicate_mod)] // the same queries for the other engine, see docs/adr/0001
#[path = "queries/shared.rs"]
pub mod queries;
mod sqlstate;
mod statements;
mod walk;

use std::{sync::Arc, time::Duration};

use deadpool::managed::{Object, PoolError, TimeoutType};
use diesel::{
    connection::{Connection, SimpleConnection},
    result::{DatabaseErrorKind, Error},
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection, async_connection_wrapper::AsyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use self::pool::{Manager, Pool};
use super::{LedgerError, LedgerSettings, failure::Failure, upgrade};
use crate::repositories::cause::Cause;
use crate::{repositories::breaker::Breaker, supervisor::supervised};

/// What the shared queries are compiled for.
pub type Conn = AsyncPgConnection;
/// What the shared queries are compiled for.
pub type Db = diesel::pg::Pg;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Two instances that start together migrate one after the other.
const MIGRATIONS_LOCK: i64 = 0x5C0_7EB0_A7D1;

/// How long a call waits for a free connection. All calls of an instance share the pool; if the wait is longer than this, the
/// database is the bottleneck.
const WAIT_LIMIT: Duration = Duration::from_secs(2);

/// Connections reserved for commits and their follow-up (four commits, and their receipts), or half of all if there are few: no
/// number of readers makes a score wait for a connection.
const KEPT_FOR_COMMITS: usize = 5;

/// The most readers' requests that one instance serves at once. Permits limit them (`services/turns.rs`).
const MOST_READERS: usize = 3;

/// Settings of a transaction that serves a reader: they leave the planner the one plan that each statement is written for, a
/// walk through an index (docs/adr/0008 explains what else it chooses while a table is small, and keeps when the table has
/// grown).
const WALK_INDEXES: &str = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), \
                            set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true), \
                            set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true), \
                            set_config('plan_cache_mode', 'force_generic_plan', true)";

/// The locks that a batch takes by writing, and no more.
const LOCK_LIKE_A_BATCH: &str =
    "LOCK TABLE users, entries, score_events, idempotency_keys, receipts, receipt_batches, outbox IN ROW EXCLUSIVE MODE";

/// How long a new connection may take, including the handshake.
const CREATE_LIMIT: Duration = Duration::from_secs(3);

/// How much time a call must have had for its time-out to mean that the server is unreachable, and how long a probe may take.
const FAIR_TIME: Duration = Duration::from_secs(3);

/// A clonable handle on one database.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    server: connection::Server,
    /// Permits for connections other than the reserved ones; see [`KEPT_FOR_COMMITS`]. Without a permit a call waits in line,
    /// as long as for the pool itself.
    unreserved: Arc<Semaphore>,
    breaker: Arc<Breaker>,
    /// Aborted with the last handle.
    _probe: Arc<AbortOnDropHandle<()>>,
}

impl Postgres {
    /// Prepares the pool and opens a first connection, so that a wrong address is noticed at the start.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, LedgerError> {
        let server = connection::Server::parse(&settings.url)?;
        let connections = settings.max_connections.max(1);
        let pool = Pool::builder(Manager::new(server.clone()))
            .max_size(connections)
            .wait_timeout(Some(WAIT_LIMIT))
            .create_timeout(Some(CREATE_LIMIT))
            .recycle_timeout(Some(WAIT_LIMIT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| LedgerError::Unavailable(Cause::of(error)))?;
        let breaker = Breaker::new("postgres", FAIR_TIME);
        let (probed, stale) = (server.clone(), pool.clone());
        let probing = Arc::clone(&breaker);
        let probe = tokio::spawn(supervised("postgres probe", move || {
            let (probed, stale) = (probed.clone(), stale.clone());
            Arc::clone(&probing).probe(move || answers(probed.clone(), stale.clone()))
        }));
        let unreserved = Arc::new(Semaphore::new(connections - KEPT_FOR_COMMITS.min(connections / 2)));
        // Without the pool, to distinguish a permanent refusal from a server that is not up yet.
        let first = tokio::time::timeout(CREATE_LIMIT, Box::pin(server.dial())).await;
        drop(first.unwrap_or_else(|_| Err(LedgerError::Unavailable("no answer to a new connection".into())))?);
        Ok(Self { pool, server, unreserved, breaker, _probe: Arc::new(AbortOnDropHandle::new(probe)) })
    }

    /// Runs pending migrations, one instance at a time; returns their names.
    pub async fn migrate(&self) -> Result<Vec<String>, LedgerError> {
        self.with_migrations(|connection| upgrade::run_pending(connection, MIGRATIONS)).await
    }

    /// Reverts everything: for the test that each migration can be reverted.
    pub async fn revert(&self) -> Result<Vec<String>, LedgerError> {
        self.with_migrations(|connection| {
            Ok(connection.revert_all_migrations(MIGRATIONS)?.iter().map(ToString::to_string).collect())
        })
        .await
    }

    /// In one transaction, which holds the lock and the long time-out: behind a pooler in transaction mode nothing else would.
    /// On a connection of its own, because the pool has few, and on a blocking thread, because diesel's migrations block; so it
    /// works in every kind of runtime.
    async fn with_migrations<F>(&self, run: F) -> Result<Vec<String>, LedgerError>
    where
        F: FnOnce(&mut AsyncConnectionWrapper<Conn>) -> diesel::migration::Result<Vec<String>> + Send + 'static,
    {
        let connection = self.server.dial().await?.conn;
        let ran = tokio::task::spawn_blocking(move || {
            AsyncConnectionWrapper::from(connection).transaction(|connection| {
                let lock = format!("SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({MIGRATIONS_LOCK})");
                SimpleConnection::batch_execute(connection, &lock)?;
                run(connection)
            })
        });
        ran.await.map_err(|error| LedgerError::Unavailable(Cause::of(error)))?.map_err(|error| upgrade::refusal(&*error))
    }

    /// How many readers' requests may be served at once: fewer than there are unreserved connections.
    pub fn readers(&self) -> usize {
        (self.pool.status().max_size / 3).clamp(1, MOST_READERS)
    }

    async fn pooled(&self) -> Result<Object<Manager>, Failure> {
        if self.breaker.is_open() {
            return Err(Failure::Unreachable("it did not answer lately".into()));
        }
        self.pool.get().await.map_err(|error| {
            if matches!(error, PoolError::Timeout(TimeoutType::Create)) {
                self.breaker.timed_out(CREATE_LIMIT);
            }
            match error {
                PoolError::Backend(LedgerError::Unavailable(cause)) => Failure::Unreachable(cause),
                PoolError::Backend(LedgerError::Unusable(why)) => Failure::Unreachable(why.into()),
                error => Failure::Unreachable(Cause::of(error)),
            }
        })
    }

    /// Whether a batch could begin: the server answers and accepts writes, and no table that every batch writes is locked.
    /// Writes nothing.
    pub async fn probe(&self) -> Result<(), Failure> {
        let mut transaction = self.begin("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '700ms'", None).await?;
        let asked = async {
            // Changes nothing, and is refused if the database is read-only, as a standby is.
            transaction.execute("UPDATE installation SET id = id WHERE false").await?;
            transaction.execute(LOCK_LIKE_A_BATCH).await
        };
        let asked = asked.await;
        transaction.finish(asked).await
    }

    /// Stops waiting after a while, and trips the breaker if that means that the server is unreachable.
    pub async fn within<R>(&self, limit: Duration, work: impl Future<Output = Result<R, Failure>>) -> Result<R, Failure> {
        super::within(limit, work).await.inspect_err(|failure| {
            if matches!(failure, Failure::Unanswered(_)) {
                self.breaker.timed_out(limit);
            }
        })
    }

    /// Opens a durable transaction. `READ COMMITTED`: every statement sees what was committed before it, the locks do the rest.
    pub async fn write(&self) -> Result<Transaction, Failure> {
        self.begin("BEGIN ISOLATION LEVEL READ COMMITTED", Some(self.unreserved().await?)).await
    }

    /// The same for decisions, whose statements walk indexes like those of readers: commits may have to wait for them.
    pub async fn moderate(&self) -> Result<Transaction, Failure> {
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '60s'; {WALK_INDEXES}");
        self.begin(&begin, Some(self.unreserved().await?)).await
    }

    /// A connection for a single statement, which is a durable transaction by itself: no other statement is sent before it or
    /// after it.
    pub async fn statement(&self) -> Result<Transaction, Failure> {
        let mut transaction = Transaction::on(self.pooled().await?);
        transaction.single = true;
        Ok(transaction)
    }

    /// A transaction for a batch of submissions, which [`batch::open`] begins.
    pub async fn settle(&self) -> Result<Transaction, Failure> {
        Ok(Transaction::on(self.pooled().await?))
    }

    /// Opens a transaction whose commit does not wait for the disk: a crash may lose all of it, but never a part of it or
    /// anything else. For data that can be made again.
    pub async fn relaxed(&self) -> Result<Transaction, Failure> {
        self.begin("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off", None).await
    }

    /// Opens a transaction that reads from one snapshot.
    pub async fn read(&self) -> Result<Transaction, Failure> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", Some(self.unreserved().await?)).await
    }

    /// Like [`Self::read`], for clients' requests.
    pub async fn serve(&self) -> Result<Transaction, Failure> {
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {WALK_INDEXES}");
        self.begin(&begin, Some(self.unreserved().await?)).await
    }

    /// Like [`Self::read`], for reads of unlimited duration.
    pub async fn lengthy(&self) -> Result<Transaction, Failure> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
        self.begin(begin, Some(self.unreserved().await?)).await
    }

    async fn unreserved(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = timeout(WAIT_LIMIT, Arc::clone(&self.unreserved).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| Failure::Unreachable("no connection became free in time".into()))
    }

    async fn begin(&self, sql: &str, place: Option<OwnedSemaphorePermit>) -> Result<Transaction, Failure> {
        let mut transaction = Transaction::on(self.pooled().await?);
        transaction.place = place;
        if transaction.execute(sql).await.is_err() {
            // The pool returned a connection that was being closed at that moment. It must not be used again; and as nothing
            // has been sent on it yet, another connection will do.
            drop(transaction.connection.take().map(Object::take));
            transaction.connection = Some(self.pooled().await?);
            transaction.execute(sql).await?;
        }
        Ok(transaction)
    }
}

/// Whether the server answers on a new connection. The idle connections are older, and each may hang like the one that timed
/// out.
async fn answers(server: connection::Server, pool: Pool) -> bool {
    pool.retain(|_, _| false);
    let asked = async { server.dial().await.ok()?.conn.batch_execute("SELECT 1").await.ok() };
    matches!(tokio::time::timeout(FAIR_TIME, asked).await, Ok(Some(())))
}

/// A transaction that is open or about to be. Dropping it unfinished (the caller gave up) closes its connection, which rolls it
/// back.
pub struct Transaction {
    connection: Option<Object<Manager>>,
    /// There is nothing to commit or to roll back.
    single: bool,
    /// The permit, returned after the connection.
    place: Option<OwnedSemaphorePermit>,
}

impl Transaction {
    fn on(connection: Object<Manager>) -> Self {
        // Errors of an earlier transaction do not concern this one.
        connection.first_error.take();
        Self { connection: Some(connection), single: false, place: None }
    }

    /// The connection to run queries on.
    pub fn connection(&mut self) -> &mut Conn {
        &mut self.connection.as_mut().expect("a transaction has its connection until it is finished").conn
    }

    /// The failure with the code of the first error that the server reported in this transaction.
    fn explain(&self, failure: Failure) -> Failure {
        failure.with_state(self.connection.as_ref().and_then(|connection| connection.first_error.take()))
    }

    /// Commits a success, rolls back a failure, and returns the result.
    pub async fn finish<R>(mut self, result: Result<R, Failure>) -> Result<R, Failure> {
        if self.single {
            return self.finish_single(result);
        }
        match result {
            Ok(value) => {
                if let Err(failure) = self.execute("COMMIT").await {
                    return Err(self.explain(failure));
                }
                self.connection = None;
                Ok(value)
            }
            Err(failure) => {
                let failure = self.explain(failure);
                let taken_back = self.execute("ROLLBACK").await;
                if taken_back.is_ok() {
                    self.connection = None;
                } else if matches!(failure, Failure::Database { .. }) {
                    // The connection is gone, and the transaction with it.
                    return Err(Failure::Lost);
                }
                Err(failure)
            }
        }
    }

    fn finish_single<R>(mut self, result: Result<R, Failure>) -> Result<R, Failure> {
        let result = result.map_err(|failure| self.explain(failure));
        match result {
            // Not refused but unanswered: the pool returned a connection that was being closed.
            Err(Failure::Database { error: Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _), state: None }) => {
                Err(Failure::Lost)
            }
            result => {
                self.connection = None;
                result
            }
        }
    }

    async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.connection().batch_execute(sql).await?)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Removed from the pool, and so closed.
        drop(self.connection.take().map(Object::take));
    }
}
