//! Crashes, outages and the command line: the real program as child processes, on stores of each test's own that can be killed.
//!
//! Needs what `make test` exports: `TEST_DATABASE_URL`, `TEST_REDIS_SERVER` and `TEST_POSTGRES_BIN`.

#[cfg(debug_assertions)] // A release build has no fail points.
mod accounts;
mod black_holes;
mod clients;
mod clocks;
mod commands;
mod crashes;
mod crowds;
#[cfg(debug_assertions)] // A release build has no fail points.
mod decisions;
mod demo;
mod events;
#[cfg(debug_assertions)] // A release build has no fail points.
mod fail_points;
mod fair_play;
mod full_disk;
#[path = "../contract/h2_client.rs"]
#[allow(dead_code)]
mod h2_client;
mod idle_boards;
mod jobs;
mod kept_reads;
mod kicks;
mod ledger_outages;
mod left_boards;
mod moderators;
mod network;
#[cfg(debug_assertions)] // A release build has no fail points.
mod panics;
#[path = "../contract/ports.rs"]
mod ports;
mod postgres;
mod previous;
mod random_kills;
mod ranking_outages;
#[path = "../contract/redis_server.rs"]
#[allow(dead_code)]
mod redis_server;
mod refusing;
mod restored;
mod revoked;
#[cfg(debug_assertions)] // A release build has no fail points.
mod runs;
mod seasons;
#[cfg(debug_assertions)] // As `accounts`.
mod secrets;
mod server;
mod shutdown;
mod soak;
mod split_brain;
mod starts;
mod stream_outages;
mod stuck_readers;
mod trace;
mod unread;
mod upgrade;
mod writability;
