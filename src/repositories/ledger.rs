//! The ledger: the source of truth about definitions, scores and their history, on PostgreSQL or in a SQLite file.
//!
//! Services hold one clonable [`Ledger`]. Each public method is one transaction with a time-out; the methods are divided by
//! noun, one file each. What both engines share is written once (`queries`), what speed or the engine demands is written per
//! engine (`batch`, `locks`, `place`, `walk`); docs/adr/0001 explains how and why.

mod accounts;
mod actions;
mod api_keys;
mod audit;
mod entries;
mod failure;
mod history;
mod installation;
mod jobs;
mod leaderboards;
mod maintenance;
mod moderation;
mod outbox;
mod postgres;
mod receipts;
mod requests;
mod reviews;
mod schema;
mod scores;
mod seasons;
mod sessions;
mod sign_ins;
mod sqlite;
mod statement;
mod upgrade;
mod users;
mod writability;

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use arc_swap::ArcSwap;

pub use self::{
    api_keys::UsedApiKey,
    moderation::{Decided, Judged, JudgedTogether, Moderated, Ranked},
    outbox::{Announced, OtherEpoch},
    receipts::Receipt,
    scores::{Committed, Progress},
    seasons::SeasonAnswer,
    sessions::{Refreshed, TokenUse},
    sign_ins::{Admitted, SignIn},
};
use self::{failure::Failure, postgres::Postgres, sqlite::Sqlite, writability::Writability};
use crate::{
    domain::{announcement::Announcement, definition::Definitions, ids::Noun, leaderboard::InvalidSetting, time::Timestamp},
    repositories::cause::Cause,
};

/// Why the ledger refused or failed. Knows no HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The id is in use.
    #[error("the id is taken")]
    Taken,
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(Noun),
    /// The named field can no longer change.
    #[error("{0} can no longer change, because there are scores")]
    Conflict(&'static str),
    /// A setting that cannot be.
    #[error("{}: {}", .0.field, .0.message)]
    Invalid(InvalidSetting),
    /// Scheduled boundaries of these leaderboards have come, and have to be carried out first.
    #[error("a season of these leaderboards has ended: {0:?}")]
    BoundaryDue(Vec<i64>),
    /// The leaderboard is in another season than the one named.
    #[error("the current season is {current}")]
    OtherSeason { current: i64 },
    /// The caller lacks what this needs; the message says it.
    #[error("{0}")]
    Forbidden(String),
    /// A moderator has set the user's name.
    #[error("the name is locked")]
    NameLocked,
    /// The session in which it was asked for has ended.
    #[error("the session has ended")]
    SessionEnded,
    /// The link is not valid: it was used, has expired, or is for somebody else.
    #[error("the link is not valid")]
    LinkInvalid,
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used before")]
    KeyReused,
    /// The database is unreachable, overloaded or refuses; the same call may succeed later. A call that wrote may or may not
    /// have been committed. For the log, never for a client.
    #[error("the ledger is out of reach: {0}")]
    Unavailable(Cause),
    /// It can never be opened like this: an invalid address, a refused password, a schema of a newer release. For the operator
    /// who starts the program.
    #[error("{0}")]
    Unusable(String),
    /// Something is stored that this program cannot have stored.
    #[error("the ledger holds something that is not understood: {0}")]
    Corrupt(String),
}

/// How to reach the ledger.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// `sqlite://path` or `postgres://…`.
    pub url: String,
    /// PostgreSQL only: how many connections this process may hold.
    pub max_connections: usize,
    /// SQLite only: lock the file against every other server. Tools that only read beside a running server do not set it.
    pub exclusive: bool,
}

impl LedgerSettings {
    /// The usual settings for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_connections: 10, exclusive: true }
    }
}

/// The result of a change, and the outbox row that announces it, if there is anything to announce.
#[derive(Debug, Clone)]
pub struct Updated<T> {
    pub value: T,
    pub outbox: Option<(i64, Announcement)>,
}

/// A handle on the ledger; clones share its connections.
#[derive(Clone)]
pub struct Ledger {
    engine: Engine,
    /// The definitions that the last commit was settled with. Every commit compares their revision with the stored one, so this
    /// only saves reading them again.
    known: Arc<ArcSwap<Definitions>>,
    /// How many of the next batches lock what they read, because one raced with another instance.
    cautious: Arc<AtomicU32>,
    /// How many of the next batches look up their idempotency keys before they use them, because one was a repeat.
    repeats: Arc<AtomicU32>,
    writability: Arc<Writability>,
}

#[derive(Clone)]
enum Engine {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// How long one call may take, including the wait for a connection. The server cuts a statement off earlier.
const LIMIT: Duration = Duration::from_secs(8);

/// How long a call may take that reads a whole board: for tools, not for requests.
const LENGTHY_LIMIT: Duration = Duration::from_secs(3600);

/// How long a ping may take.
const PING_LIMIT: Duration = Duration::from_secs(1);

/// Runs a query of the shared directory in a transaction of its own, on this ledger's engine. Arguments are expressions over
/// owned variables: SQLite runs the whole transaction on another thread and moves them there.
///
/// The kinds of transactions, each a method of both engines:
///
/// - `read`: reads from one snapshot.
/// - `serve`: the same for clients' requests; PostgreSQL may only walk indexes.
/// - `lengthy`: the same without a limit for a statement, for tools; takes `LENGTHY_LIMIT`.
/// - `write`: reads and writes, durably.
/// - `moderate`: the same for decisions; PostgreSQL may only walk indexes, because commits may have to wait.
/// - `relaxed`: the same, but PostgreSQL's commit does not wait for the disk: for data that can be made again.
/// - `statement`: one statement alone, durably, which saves PostgreSQL the `BEGIN` and `COMMIT`.
/// - `settle`: a batch of scores, durably; `batch::open` begins it on PostgreSQL, on SQLite it may share its commit.
///
/// On PostgreSQL the last three may take the connections that are reserved for commits and their follow-up.
macro_rules! transact {
    ($ledger:ident.$kind:ident($limit:expr), $noun:ident::$query:ident($($argument:expr),*)) => {
        match &$ledger.engine {
            $crate::repositories::ledger::Engine::Postgres(engine) => {
                let work = async {
                    let mut transaction = engine.$kind().await?;
                    let conn = transaction.connection();
                    let result = $crate::repositories::ledger::postgres::queries::$noun::$query(conn, $($argument),*).await;
                    transaction.finish(result).await
                };
                engine.within($limit, work).await
            }
            $crate::repositories::ledger::Engine::Sqlite(engine) => {
                let work = engine.$kind(move |conn| {
                    let query = $crate::repositories::ledger::sqlite::queries::$noun::$query(conn, $($argument),*);
                    tokio::runtime::Handle::current().block_on(query)
                });
                $crate::repositories::ledger::within($limit, work).await
            }
        }
    };
}
use transact;

impl Ledger {
    /// Connects, without migrating. Returns an error if there is no answer.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, LedgerError> {
        let engine = match settings.url.split_once("://") {
            Some(("sqlite", _)) => Engine::Sqlite(Sqlite::connect(settings).await?),
            Some(("postgres" | "postgresql", _)) => Engine::Postgres(Postgres::connect(settings).await?),
            _ => return Err(LedgerError::Unusable("the database URL must begin with sqlite:// or postgres://".into())),
        };
        // Revision −1 is never stored: the first commit reads the definitions.
        let none = Definitions::default().at(-1, None);
        let (known, writability) = (Arc::new(ArcSwap::from_pointee(none)), Arc::default());
        Ok(Self { engine, known, cautious: Arc::default(), repeats: Arc::default(), writability })
    }

    /// Runs the pending migrations, one process at a time; returns their names.
    pub async fn migrate(&self) -> Result<Vec<String>, LedgerError> {
        match &self.engine {
            Engine::Postgres(postgres) => postgres.migrate().await,
            Engine::Sqlite(sqlite) => sqlite.migrate().await,
        }
    }

    /// Reverts every migration, and with it deletes everything that is stored.
    pub async fn revert_migrations(&self) -> Result<Vec<String>, LedgerError> {
        match &self.engine {
            Engine::Postgres(postgres) => postgres.revert().await,
            Engine::Sqlite(sqlite) => sqlite.revert().await,
        }
    }

    /// `postgres` or `sqlite`.
    pub fn engine(&self) -> &'static str {
        match &self.engine {
            Engine::Postgres(_) => "postgres",
            Engine::Sqlite(_) => "sqlite",
        }
    }

    /// Whether other instances may be committing to it as well.
    pub fn is_shared(&self) -> bool {
        matches!(&self.engine, Engine::Postgres(_))
    }

    /// How many commits of one instance may run at once. SQLite has one writer; on PostgreSQL a few overlap their waits, and
    /// more would only make batches smaller.
    pub fn commits_at_once(&self) -> usize {
        match &self.engine {
            Engine::Postgres(_) => 4,
            Engine::Sqlite(_) => 1,
        }
    }

    /// How many readers' requests may be served at once; [`services`](crate::services) limits them with permits. Fewer than
    /// there are connections, so that no number of readers blocks other callers.
    pub fn readers_at_once(&self) -> usize {
        match &self.engine {
            Engine::Postgres(postgres) => postgres.readers(),
            Engine::Sqlite(_) => sqlite::READERS - 1,
        }
    }

    /// The revision of the definitions alone: cheap enough for frequent queries.
    pub async fn definitions_revision(&self) -> Result<i64, LedgerError> {
        Ok(transact!(self.read(LIMIT), definitions::revision())?)
    }

    /// The newest time in the ledger: a clock behind it was set back.
    pub async fn newest_time(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(transact!(self.read(LIMIT), definitions::newest_time())?)
    }

    /// All definitions, from one snapshot.
    pub async fn definitions(&self) -> Result<Definitions, LedgerError> {
        Ok(transact!(self.read(LIMIT), definitions::load())?)
    }

    /// The same for a caller that has those of an earlier revision: only what has changed since is read, so the cost does not
    /// depend on their number.
    pub async fn definitions_since(&self, known: &Arc<Definitions>) -> Result<Definitions, LedgerError> {
        let known = Arc::clone(known);
        Ok(transact!(self.read(LIMIT), definitions::load_since(&known))?)
    }
}

/// Stops waiting after `limit`. A transaction in flight may still be committed: a caller that repeats a call uses an
/// idempotency key.
async fn within<R>(limit: Duration, work: impl Future<Output = Result<R, Failure>>) -> Result<R, Failure> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Failure::Unanswered(limit)))
}
