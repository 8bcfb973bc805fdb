//! The pure core: nouns, the scoring rule, the order of a ranking, versions of a stream.
//!
//! Nothing here is async and nothing does I/O, so every rule can be tested with plain values. All other layers use these types.

pub mod account;
pub mod action;
pub mod announcement;
pub mod api_key;
pub mod archive;
pub mod audit;
pub mod caller;
pub mod decision;
pub mod definition;
pub mod entry;
pub mod event;
pub mod fold;
pub mod ids;
pub mod job;
pub mod leaderboard;
pub mod password;
pub mod receipt_batches;
pub mod review;
pub mod run;
pub mod sanction;
pub mod schedule;
pub mod score;
pub mod search;
pub mod season;
pub mod settlement;
pub mod sign_in;
pub mod submission;
pub mod text;
pub mod time;
pub mod user;
pub mod version;
