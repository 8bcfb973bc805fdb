//! Decisions and the order of effects: what a request may do, what is written, what is told afterwards. Knows no HTTP, no SQL and no Redis.

pub mod actions;
pub mod announcer;
pub mod backlog;
pub mod census;
pub mod changes;
pub mod definitions;
pub mod encoded;
pub mod entry_reads;
pub mod error;
pub mod health;
pub mod history;
pub mod inspection;
pub mod latest;
pub mod leaderboards;
pub mod rankings;
pub mod rebuild;
pub mod receipts;
pub mod scores;
pub mod streams;
pub mod tenure;
pub mod tokens;
pub mod tops;
pub mod turns;
pub mod users;
pub mod views;
