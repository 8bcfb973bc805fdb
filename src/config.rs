//! The settings of a server, one struct per concern. Each is read from the environment, or from the flag of the same name on
//! `scoreboard serve` (`DATABASE_URL` is `--database-url`). An empty text counts as not set.

pub mod accounts;
pub mod http;
pub mod origins;
pub mod parse;
pub mod storage;
pub mod streams;
pub mod tokens;

use std::ffi::OsStr;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

/// Everything `scoreboard serve` can be told.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    #[command(flatten)]
    pub storage: storage::StorageSettings,
    #[command(flatten)]
    pub http: http::HttpSettings,
    #[command(flatten)]
    pub tokens: tokens::TokenSettings,
    #[command(flatten)]
    pub accounts: accounts::AccountSettings,
    #[command(flatten)]
    pub streams: streams::StreamSettings,
    #[command(flatten)]
    pub log: LogSettings,
}

impl Settings {
    /// The settings that these flags of `scoreboard serve` give, over the environment.
    pub fn from_flags(flags: impl IntoIterator<Item = impl Into<String>>) -> anyhow::Result<Self> {
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            settings: Settings,
        }
        let words = std::iter::once("scoreboard".to_owned()).chain(flags.into_iter().map(Into::into));
        let matches = without_empty_variables(Flags::command()).try_get_matches_from(words)?;
        Ok(Flags::from_arg_matches(&matches)?.settings)
    }
}

/// The command line, which reads its settings from the environment: a variable that is empty or blank is not set, whatever its type.
pub fn without_empty_variables(command: Command) -> Command {
    let is_blank = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.as_encoded_bytes().trim_ascii().is_empty());
    let command = command.mut_args(|argument| match argument.get_env().is_some_and(is_blank) {
        true => argument.env(None::<&str>),
        false => argument,
    });
    command.mut_subcommands(without_empty_variables)
}

/// How the log is written. What is logged follows `RUST_LOG` (default `info`).
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// `pretty` for people, `json` for machines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "pretty", hide_env_values = true)]
    pub log_format: LogFormat,
}

/// See [`LogSettings::log_format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// A setting that is empty is not set.
pub(crate) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim).filter(|value| !value.is_empty())
}
