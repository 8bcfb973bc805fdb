//! Managing leaderboards and actions.

mod actions;
mod leaderboards;
