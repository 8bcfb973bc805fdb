//! Scoreboard: durable scores in, live leaderboards out. The map of the house; imports point down.

pub mod domain; // nouns, ids, the scoring rule, ordering, positions: pure
pub mod repositories; // all SQL and all Redis: ledger, standings, feed
