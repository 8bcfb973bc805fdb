//! The settings of a server, one struct per concern. Each is read from the environment, or from the flag of the same name on
//! `scoreboard serve` (`DATABASE_URL` is `--database-url`). An empty text counts as not set.

pub mod http;
pub mod storage;
pub mod streams;
pub mod tokens;

use clap::{Args, Parser, ValueEnum};

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
        Ok(Flags::try_parse_from(words)?.settings)
    }
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
