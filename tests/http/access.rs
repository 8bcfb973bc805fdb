//! Who may do what.

mod issuers;
pub mod keys;
mod operations;
mod rate_limit;
mod tokens;
mod visibility;
