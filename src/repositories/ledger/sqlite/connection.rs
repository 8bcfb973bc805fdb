//! SQLite connections: how they are opened, and a transaction on one of them.

use std::{error::Error, path::Path};

use diesel::{Connection, SqliteConnection};
use diesel_async::{
    SimpleAsyncConnection,
    sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper},
};
use futures_util::{FutureExt, future::BoxFuture};

use super::{super::LedgerError, Failure, execute};

/// An async interface to a blocking connection; see [`InPlace`].
pub type Conn = SyncConnectionWrapper<SqliteConnection, InPlace>;

/// Runs each call on the calling thread: users of such a connection are on a blocking thread already.
pub struct InPlace;

impl SpawnBlocking for InPlace {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        let result = task();
        async move { Ok(result) }.boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// Opens a connection for the shared queries.
pub fn open(path: &Path) -> Result<Conn, LedgerError> {
    open_plain(path).map(|connection| SyncConnectionWrapper::with_runtime(connection, InPlace))
}

/// Opens a connection with the settings that the ledger's guarantees depend on. `busy_timeout` comes first, because switching
/// to the write-ahead log may itself find the file busy; the log is checkpointed into the file every 16 MiB, not every 4;
/// `synchronous = FULL` makes an acknowledged score survive a power cut; savepoints store what they may have to restore in
/// memory, because there may be no directory for temporary files.
pub fn open_plain(path: &Path) -> Result<SqliteConnection, LedgerError> {
    let unavailable = |why: String| LedgerError::Unavailable(format!("{}: {why}", path.display()).into());
    let name = path.to_str().ok_or_else(|| unavailable("the path is not UTF-8".into()))?;
    let mut connection = SqliteConnection::establish(name).map_err(|error| unavailable(error.to_string()))?;
    let pragmas = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                   PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; PRAGMA mmap_size = 268435456; PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000;";
    execute(&mut connection, pragmas).map_err(LedgerError::from)?;
    Ok(connection)
}

/// Begins a transaction.
pub fn begin(connection: &mut Conn, begin: &str) -> Result<(), Failure> {
    plain(connection, begin).or_else(|_| {
        // A body that panicked left its transaction open. Rolling it back is all the repair needed.
        let _ = plain(connection, "ROLLBACK");
        plain(connection, begin)
    })
}

/// Runs the body between `begin` and `COMMIT`, or rolls it back.
pub fn transaction<R>(
    connection: &mut Conn,
    begin: &str,
    body: impl FnOnce(&mut Conn) -> Result<R, Failure>,
) -> Result<R, Failure> {
    self::begin(connection, begin)?;
    let result = body(connection).and_then(|value| plain(connection, "COMMIT").map(|()| value));
    if result.is_err() {
        // If the error ended the transaction by itself there is nothing left to roll back, and SQLite reports that.
        let _ = plain(connection, "ROLLBACK");
    }
    result
}

/// Runs one of the statements that begin and end transactions.
pub fn plain(connection: &mut Conn, sql: &str) -> Result<(), Failure> {
    let done = SimpleAsyncConnection::batch_execute(connection, sql).now_or_never();
    done.unwrap_or(Ok(())).map_err(Failure::from)
}
