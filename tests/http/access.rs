//! Who may do what.

pub mod issuers;
pub mod keys;
mod operations;
mod rate_limit;
mod tokens;
mod visibility;
