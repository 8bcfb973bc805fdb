//! `scoreboard token`

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use crate::{config::tokens::TokenSettings, services::tokens::Tokens};

/// What the token says.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Whom the token is for; idempotency keys and rate limits belong to it.
    #[arg(long)]
    sub: String,
    /// Scopes, separated by spaces: scores:write, scores:self, leaderboards:read, leaderboards:admin, audit:read,
    /// leaderboards:restricted, moderation:write, users:read, users:write, accounts:admin, keys:admin.
    #[arg(long)]
    scope: String,
    /// How long it is good for: a number and s, m, h or d.
    #[arg(long, default_value = "1h", value_parser = seconds)]
    ttl: u64,
    /// Where a generated secret is kept.
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    data_dir: PathBuf,
    #[command(flatten)]
    tokens: TokenSettings,
}

/// Prints one.
pub fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let tokens = Tokens::configure(&args.tokens, &args.data_dir)?;
    println!("{}", tokens.issue(&args.sub, &args.scope, args.ttl)?);
    Ok(())
}

/// A duration of 1 s to ten years, such as `90s` or `12h`, in seconds.
pub(super) fn seconds(text: &str) -> anyhow::Result<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit: u64 = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => anyhow::bail!("a duration is a number and s, m, h or d, such as 90s or 12h"),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds = seconds.context("a duration is a number and s, m, h or d, such as 90s or 12h")?;
    ensure!((1..=3650 * 86_400).contains(&seconds), "must be between 1 s and 3650 d");
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(seconds("90").unwrap(), 90);
        assert_eq!(seconds("12h").unwrap(), 43_200);
        for bad in ["", "h", "1w", "-1h", "0s", "99999999999999999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
