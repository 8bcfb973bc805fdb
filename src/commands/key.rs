//! `scoreboard key`: API keys without a server, above all the first one.

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};

use crate::{
    app::open_for_a_tool,
    config::storage::StorageSettings,
    domain::{
        api_key::KeySettings,
        audit::Act,
        caller::{Caller, Scope, Scopes},
        ids::LeaderboardId,
        text::check_name,
        time::Clock,
    },
    services::api_keys::generate,
};

use super::token::seconds;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it; a running server accepts it at once
    Create(CreateArgs),
}

/// What the key is good for.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// By which people tell it from others.
    #[arg(long)]
    name: String,
    /// Scopes, separated by spaces; `scoreboard token --help` lists them.
    #[arg(long)]
    scope: String,
    /// A leaderboard that it is bound to; may be given several times. Otherwise all.
    #[arg(long = "leaderboard")]
    leaderboards: Vec<String>,
    /// How long it is good for: a number and s, m, h or d. Otherwise until it is deleted.
    #[arg(long, value_parser = seconds)]
    ttl: Option<u64>,
    #[command(flatten)]
    storage: StorageSettings,
}

/// Makes one and prints it.
pub async fn run(command: &KeyCommand) -> anyhow::Result<()> {
    let KeyCommand::Create(args) = command;
    ensure!(args.name.chars().count() <= 128, "--name must have at most 128 characters");
    check_name(&args.name).map_err(|why| anyhow::anyhow!("--name {why}"))?;
    let scopes = scopes(&args.scope)?;
    let ledger = open_for_a_tool(&args.storage).await?;
    let clock = Clock::system();
    if let Some(newest) = ledger.newest_time().await? {
        clock.witness(newest);
    }
    let now = clock.now();
    let definitions = ledger.definitions().await?;
    let mut bound = Vec::with_capacity(args.leaderboards.len());
    for id in &args.leaderboards {
        ensure!(definitions.leaderboard(id).is_some(), "there is no leaderboard {id}");
        bound.push(LeaderboardId::parse(id)?);
    }
    let settings = KeySettings {
        name: args.name.clone(),
        scopes,
        leaderboards: (!bound.is_empty()).then(|| bound.into()),
        expires_at: args.ttl.and_then(|ttl| i64::try_from(ttl).ok()).map(|ttl| now.plus_seconds(ttl)),
        rate: None,
    };
    let new = generate(settings, now)?;
    ledger.create_api_key(&new.key, Act::of(&Caller::Server, now)).await.context("the key could not be stored")?;
    println!("{}", new.text);
    Ok(())
}

fn scopes(names: &str) -> anyhow::Result<Scopes> {
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    let named = names
        .split_ascii_whitespace()
        .map(|name| Scope::named(name).with_context(|| format!("unknown scope {name}; there are {known}")));
    let scopes: Vec<_> = named.collect::<anyhow::Result<_>>()?;
    ensure!(!scopes.is_empty(), "a key needs a scope; there are {known}");
    Ok(scopes.into_iter().collect())
}
