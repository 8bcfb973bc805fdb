//! The ledger in one SQLite file: write-ahead log, full durability, one writer and a few readers.
//!
//! diesel's SQLite connection blocks, so each transaction makes *one* hop onto a blocking thread and runs there from `BEGIN` to
//! `COMMIT`. Within it the shared async queries run on a wrapper whose "runtime" calls straight through: none of them ever
//! waits, and once begun a transaction is not abandoned half-way, even if its caller goes away.

mod batch;
mod clock;
mod connection;
mod file;
mod locks;
mod place;
#[allow(clippy::duplicate_mod)] // the same queries for the other engine, see docs/adr/0001
#[path = "queries/shared.rs"]
pub mod queries;
mod walk;
mod writer;

use std::{path::PathBuf, sync::Arc};

use diesel::{SqliteConnection, connection::SimpleConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use self::connection::Conn;
use self::{file::Held, writer::Writer};
use super::{LedgerError, LedgerSettings, failure::Failure, upgrade};
use crate::repositories::cause::Cause;

/// What the shared queries are compiled for.
pub type Db = diesel::sqlite::Sqlite;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// How many reads run at once. Readers never wait for the writer nor it for them; more than this many only compete for the
/// processor.
pub const READERS: usize = 4;

/// A clonable handle on one file.
#[derive(Clone)]
pub struct Sqlite {
    path: Arc<PathBuf>,
    writer: Writer,
    readers: Arc<Readers>,
    /// Held as long as the handle: keeps a second server away from the file.
    _held: Option<Arc<Held>>,
}

struct Readers {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Conn>>,
}

impl Sqlite {
    /// Opens the file, creating it and its directory if they are missing.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, LedgerError> {
        let path = file::of(&settings.url)?;
        let exclusive = settings.exclusive;
        let opened = tokio::task::spawn_blocking(move || {
            let held = file::prepare(&path, exclusive)?;
            let writer = connection::open(&path)?;
            let readers = (0..READERS).map(|_| connection::open(&path)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, LedgerError>(Self {
                path: Arc::new(path),
                writer: Writer::new(writer),
                readers: Arc::new(Readers { permits: Arc::new(Semaphore::new(READERS)), idle: Mutex::new(readers) }),
                _held: held.map(Arc::new),
            })
        });
        opened.await.map_err(|error| LedgerError::Unavailable(Cause::of(error)))?
    }

    /// Runs pending migrations; returns their names.
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

    async fn with_migrations<F>(&self, run: F) -> Result<Vec<String>, LedgerError>
    where
        F: FnOnce(&mut SqliteConnection) -> diesel::migration::Result<Vec<String>> + Send + 'static,
    {
        let writer = self.writer.alone().await;
        let path = self.path.clone();
        let ran = tokio::task::spawn_blocking(move || {
            let _writer = writer;
            let mut connection = connection::open_plain(&path)?;
            // All or nothing, and one process at a time, however long the other one takes.
            execute(&mut connection, "PRAGMA busy_timeout = 60000")?;
            connection.immediate_transaction(run).map_err(|error| upgrade::refusal(&*error))
        });
        ran.await.map_err(|error| LedgerError::Unavailable(Cause::of(error)))?
    }

    /// One durable transaction: the body runs between `BEGIN IMMEDIATE` and `COMMIT`, and an error rolls all of it back.
    pub async fn write<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let mut writer = self.writer.alone().await;
        hop(move || connection::transaction(&mut writer, "BEGIN IMMEDIATE", body)).await
    }

    /// Like [`Self::write`]: a writer holds the whole file, definitions included. Shares its commit with other waiting
    /// transactions, and may have to be repeated because of them, see `sqlite/writer.rs`.
    pub async fn settle<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        self.writer.write(body).await
    }

    /// Like [`Self::settle`]: doing without a transaction would save nothing.
    pub async fn statement<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        self.settle(body).await
    }

    /// Like [`Self::write`]: one file has one kind of durability, and one more commit in the log costs little beside the
    /// batch's own.
    pub async fn relaxed<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        self.write(body).await
    }

    /// Like [`Self::write`], for decisions.
    pub async fn moderate<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        self.write(body).await
    }

    /// Reads from one snapshot.
    pub async fn read<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let closed = |_| Failure::Unreachable("the ledger is closed".into());
        let permit = self.readers.permits.clone().acquire_owned().await.map_err(closed)?;
        let (readers, path) = (self.readers.clone(), self.path.clone());
        hop(move || {
            let idle = readers.idle.lock().pop();
            let mut connection = idle.map_or_else(|| connection::open(&path), Ok)?;
            let result = connection::transaction(&mut connection, "BEGIN DEFERRED", body);
            readers.idle.lock().push(connection);
            drop(permit);
            result
        })
        .await
    }

    /// Like [`Self::read`], for clients' requests: SQLite chooses its plans by the indexes alone.
    pub async fn serve<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        self.read(body).await
    }

    /// Like [`Self::read`]; a reader blocks nothing, however long it takes.
    pub async fn lengthy<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Conn) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        self.read(body).await
    }
}

async fn hop<R: Send + 'static>(work: impl FnOnce() -> Result<R, Failure> + Send + 'static) -> Result<R, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::Unreachable(Cause::of(error)))?
}

/// A plain statement outside of the query builder.
fn execute(connection: &mut SqliteConnection, sql: &str) -> Result<(), Failure> {
    Ok(connection.batch_execute(sql)?)
}
