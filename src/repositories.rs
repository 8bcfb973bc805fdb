//! All storage. Three ports: the ledger (the source of truth), the ranking store (a cache) and the feed (the ordered changes).
//! One folder per backend: `redis` and `memory` implement both the ranking store and the feed. All SQL and all Redis calls are
//! below this module.

mod breaker;
pub mod cause; // why a store could not do something
mod epoch;
pub mod feed; // the changes, in order, resumable
pub mod ledger; // the source of truth, on PostgreSQL or SQLite
pub mod memory; // ranking store and feed in process
pub mod private; // files that only the server may read
pub mod ranking_store; // rank of, window, around; can be lost at any time
pub mod redis; // ranking store and feed on Redis
