//! Everything that is kept outside the process's own logic. Three ports: the ledger (the truth), the ranking store (a cache) and the feed (what
//! changed, in order). A folder for each backend: `redis` and `memory` are ranking store and feed in one. All SQL and all Redis live below this
//! module.

mod breaker;
mod epoch;
pub mod feed; // what changed, in order, resumable
pub mod ledger; // the truth, on PostgreSQL or SQLite
pub mod memory; // ranking store and feed in process
pub mod private; // files that nobody else may read
pub mod ranking_store;
pub mod redis; // ranking store and feed on Redis // rank of, window, around; can be lost at any time
