//! Everything that is kept outside the process's own logic: the ledger (the truth), the standings (the ranking cache) and the feed (what
//! changed, in order). All SQL and all Redis live below this module.

mod breaker;
mod epoch;
pub mod feed;
pub mod ledger; // the truth, on PostgreSQL or SQLite
pub mod memory; // the in-process ranking: standings and feed in one
pub mod private; // files that nobody else may read
pub mod redis; // the shared ranking: standings and feed in one
pub mod standings;
