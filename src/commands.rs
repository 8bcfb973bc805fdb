//! The command line.

mod demo;
mod health;
mod migrate;
mod rebuild;
mod serve;
mod token;
mod verify;

use clap::{Parser, Subcommand};

use crate::config::{Settings, storage::StorageSettings, streams::StreamSettings};

/// A live leaderboard server: durable scores in, ranked boards out over REST and Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "scoreboard", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and the live page (the default)
    Serve(Box<Settings>),
    /// Show a live board: the Premier League season 2015/16, played back
    Demo(demo::DemoArgs),
    /// Print a token
    Token(token::TokenArgs),
    /// Bring the ledger's schema up to date
    Migrate(StorageSettings),
    /// Compare the ledger with its own history and with the rankings; fails on any difference
    Verify(StoreArgs),
    /// Rebuild rankings from the ledger
    Rebuild(rebuild::RebuildArgs),
    /// Ask a running server whether it is ready, for health checks
    Health(health::HealthArgs),
}

/// What the tools that work on the stores need to know.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    #[command(flatten)]
    storage: StorageSettings,
    #[command(flatten)]
    streams: StreamSettings,
}

/// Runs a command to its end.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let default = || Cli::parse_from(["scoreboard", "serve"]).command.expect("serve was just named");
    match cli.command.unwrap_or_else(default) {
        Command::Serve(settings) => serve::run(&settings).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Token(args) => token::run(&args),
        Command::Migrate(storage) => migrate::run(&storage).await,
        Command::Verify(args) => verify::run(&args).await,
        Command::Rebuild(args) => rebuild::run(&args).await,
        Command::Health(args) => health::run(&args).await,
    }
}
