//! Who may do what.

mod issuers;
mod keys;
mod operations;
mod rate_limit;
mod tokens;
mod visibility;
