//! Who may do what.

mod keys;
mod operations;
mod rate_limit;
mod tokens;
mod visibility;
