//! Puts a running server under load, puts the plain alternatives under the same load, and says what came out. Loopback only, bounded in time.
//!
//! `cargo run --release -p load -- SCENARIO`; `load/README.md` shows every scenario with its command.

mod http; // a lean HTTP/1.1 client, and the loops that ask
mod judge; // the tables of targets, from the reports of many runs
mod measure; // latencies, processor time and memory, the report
mod plot; // the same as pictures
mod reference; // the plain alternatives
mod scenario; // what is asked of a server
mod target; // where the server is

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Puts a running Scoreboard, and the plain alternatives, under load")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Single scores: closed loop, or at a fixed rate
    Submit(scenario::submit::SubmitArgs),
    /// Scores in batches
    Batch(scenario::batch::BatchArgs),
    /// Reads: the top, a user's place, a user's neighbourhood
    Read(scenario::read::ReadArgs),
    /// A crowd watches what is posted beside it
    Fanout(scenario::fanout::FanoutArgs),
    /// A crowd is pushed until something gives
    Climb(scenario::climb::ClimbArgs),
    /// A crowd on which nothing happens: memory of a stream
    Idle(scenario::idle::IdleArgs),
    /// A crowd is cut off and comes back
    Storm(scenario::storm::StormArgs),
    /// Streams, scores and reads at once
    Mixed(scenario::mixed::MixedArgs),
    /// The same for minutes; fails where the server's memory keeps growing
    Soak(scenario::soak::SoakArgs),
    /// A crowd reads the history of somebody with a million events, beside scores
    History(scenario::history::HistoryArgs),
    /// Clients over HTTP/2 that read nothing of what they ask for, beside posts: latency of those, and memory
    Unread(scenario::unread::UnreadArgs),
    /// Kills server, Redis and Postgres at random and looks for lost and doubled scores
    Crash(scenario::crash::CrashArgs),
    /// Fills a leaderboard with users
    Prefill(scenario::prefill::PrefillArgs),
    /// Limit: the plain transaction (lock user, update entry, insert history) by pgbench
    ReferencePgbench(reference::pgbench::PgbenchArgs),
    /// Limit: many scores in one statement of one transaction, straight into Postgres
    ReferenceSql(reference::sql::SqlArgs),
    /// Limit: one durable SQLite transaction for each score
    ReferenceFsync(reference::fsync::FsyncArgs),
    /// Limit: a bare hyper server that fans events out, without a store
    ReferenceFanout(reference::fanout::FanoutServerArgs),
    /// Limit: a bare hyper or axum server that answers every GET with the same bytes
    ReferenceHttp(reference::http::HttpServerArgs),
    /// Prints a table of targets from the JSON reports in a directory
    Judge(judge::JudgeArgs),
    /// Draws what is in the JSON reports of a directory
    Plot(plot::PlotArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().scenario {
        Scenario::Submit(args) => scenario::submit::run(args),
        Scenario::Batch(args) => scenario::batch::run(args),
        Scenario::Read(args) => scenario::read::run(args),
        Scenario::Fanout(args) => scenario::fanout::run(args),
        Scenario::Climb(args) => scenario::climb::run(args),
        Scenario::Idle(args) => scenario::idle::run(args),
        Scenario::Storm(args) => scenario::storm::run(args),
        Scenario::Mixed(args) => scenario::mixed::run(args),
        Scenario::Soak(args) => scenario::soak::run(args),
        Scenario::History(args) => scenario::history::run(args),
        Scenario::Unread(args) => scenario::unread::run(args),
        Scenario::Crash(args) => scenario::crash::run(args),
        Scenario::Prefill(args) => scenario::prefill::run(args),
        Scenario::ReferencePgbench(args) => reference::pgbench::run(args),
        Scenario::ReferenceSql(args) => reference::sql::run(args),
        Scenario::ReferenceFsync(args) => reference::fsync::run(args),
        Scenario::ReferenceFanout(args) => reference::fanout::run(args),
        Scenario::ReferenceHttp(args) => reference::http::run(args),
        Scenario::Judge(args) => judge::run(args),
        Scenario::Plot(args) => plot::run(args),
    }
}
