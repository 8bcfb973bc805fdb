//! Scoreboard: durable scores in, live leaderboards out. The map of the modules; which may import which is drawn in docs/adr/0015.

pub mod app; // the composition root: the only place that names backends
pub mod commands; // the command line: serve, demo, token, account, migrate, verify, rebuild, health
pub mod config; // the settings, a struct per concern
pub mod controllers; // HTTP: extract, one service call, respond
pub mod domain; // nouns, ids, the scoring rule, ordering, positions: pure
mod failpoints; // where tests make the process die or fail; nothing in release builds
pub mod http; // what controllers and middleware share: problem documents, the request's id
pub mod middleware; // the layers around every handler, in order
pub mod repositories; // all SQL and all Redis: ledger, ranking store, feed
pub mod router; // every route in one table
pub mod server; // accept, serve, drain
pub mod services; // decisions and the order of effects; streams: the fan-out
mod supervisor; // long-lived tasks outlive a panic
pub mod workers; // long-lived tasks
