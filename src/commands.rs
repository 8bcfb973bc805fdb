//! The command line.

mod account;
mod demo;
mod health;
mod key;
mod migrate;
mod rebuild;
mod serve;
mod token;
mod verify;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Settings, storage::StorageSettings, streams::StreamSettings, without_empty_variables};

/// A live leaderboard server: durable scores in, ranked boards out over REST and Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "scoreboard", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// The command line of this process, over its environment. Ends the process where it makes no sense.
    pub fn from_environment() -> Self {
        Self::of(std::env::args_os().collect())
    }

    fn of(words: Vec<OsString>) -> Self {
        let matches = without_empty_variables(Self::command()).get_matches_from(words);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and the live page (the default)
    Serve(Box<Settings>),
    /// Show a live board: the Premier League season 2015/16, played back
    Demo(demo::DemoArgs),
    /// Print a token
    Token(token::TokenArgs),
    /// Make API keys, above all the first one
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make an account, or a link to choose a new password by
    Account(account::AccountArgs),
    /// Bring the ledger's schema up to date
    Migrate(StorageSettings),
    /// Compare the ledger with its own history and with the rankings; fails on any difference
    Verify(verify::VerifyArgs),
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
    let default = || Cli::of(["scoreboard", "serve"].map(OsString::from).to_vec()).command.expect("serve was just named");
    match cli.command.unwrap_or_else(default) {
        Command::Serve(settings) => serve::run(&settings).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Token(args) => token::run(&args),
        Command::Key(command) => key::run(&command).await,
        Command::Account(args) => account::run(&args).await,
        Command::Migrate(storage) => migrate::run(&storage).await,
        Command::Verify(args) => verify::run(&args).await,
        Command::Rebuild(args) => rebuild::run(&args).await,
        Command::Health(args) => health::run(&args).await,
    }
}

/// So many of them: `1 difference`, `2 differences`.
fn counted(number: usize, noun: &str) -> String {
    let plural = match (number, noun.strip_suffix('y')) {
        (1, _) => return format!("1 {noun}"),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{noun}s"),
    };
    format!("{number} {plural}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "difference")), ["0 differences", "1 difference", "2 differences"]);
        assert_eq!([1, 2].map(|number| counted(number, "entry")), ["1 entry", "2 entries"]);
    }
}
