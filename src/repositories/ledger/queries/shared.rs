//! The queries that both engines share. This directory is compiled twice, once inside each engine's module, which names the
//! connection (`Conn`), the backend (`Db`) and what differs: `batch` (a commit's reads and writes), `locks`, `place` (where the
//! database is) and `walk` (readers' index walks). docs/adr/0001 explains why.
//!
//! Every function here runs inside a transaction that its caller opened, and changes nothing on its own.

pub mod account_links;
pub mod accounts;
pub mod actions;
pub mod api_keys;
pub mod archive;
pub mod audit;
pub mod boundaries;
pub mod corrections;
pub mod decisions;
pub mod definitions;
pub mod entries;
pub mod events;
pub mod evidence;
pub mod history;
pub mod installation;
pub mod jobs;
pub mod leaderboards;
pub mod maintenance;
pub mod moderation;
pub mod outbox;
pub mod receipts;
pub mod requests;
pub mod review_cases;
pub mod reviews;
pub mod sanctions;
pub mod scores;
pub mod scrubbing;
pub mod search;
pub mod seasons;
pub mod sessions;
pub mod sign_ins;
pub mod targets;
pub mod users;
pub mod verification;

use super::{super::failure::Failure, Conn, Db, batch, clock, locks, place, walk};
