//! Everything that is kept outside the process's own logic: the ledger (the truth), the standings (the ranking cache) and the feed (what
//! changed, in order). All SQL and all Redis live below this module.

pub mod feed;
pub mod ledger;
pub mod memory;
pub mod redis;
pub mod standings;
