//! `scoreboard rebuild`: rankings made anew from the ledger, while servers go on.

use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use crate::{
    app::{Stores, USUAL, init_logging},
    config::LogFormat,
    domain::time::Clock,
    services::{backlog::Backlog, rebuild::Rebuilder},
};

use super::{StoreArgs, counted};

/// Which rankings.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    stores: StoreArgs,
    /// This leaderboard alone; otherwise all.
    #[arg(long)]
    leaderboard: Option<String>,
}

/// Rebuilds and prints what was loaded.
pub async fn run(args: &RebuildArgs) -> anyhow::Result<()> {
    init_logging(LogFormat::Pretty, USUAL)?;
    if args.stores.storage.redis_url().is_none() {
        println!(
            "Without REDIS_URL the ranking lives in the server and is rebuilt from the ledger at every start: nothing to do."
        );
        return Ok(());
    }
    let clock = Clock::system();
    let stores = Stores::open(&args.stores.storage, args.stores.streams.stream_history, &clock, false).await?;
    let definitions = stores.ledger.definitions().await?;
    let wanted = |id: &str| args.leaderboard.as_deref().is_none_or(|wanted| wanted == id);
    let mut leaderboards: Vec<_> = definitions.leaderboards().filter(|found| wanted(found.id.as_str())).collect();
    if leaderboards.is_empty() {
        bail!("there is no such leaderboard");
    }
    leaderboards.sort_by(|a, b| a.id.cmp(&b.id));
    let rebuilder = Rebuilder::new(stores.ranking_store.clone(), stores.ledger.clone(), clock, Backlog::new(Arc::default()));
    for leaderboard in leaderboards {
        let (entries, version) = rebuilder.force(leaderboard.board()).await?;
        println!("{}: {}, version {version}", leaderboard.id, counted(entries as usize, "entry"));
    }
    stores.close().await;
    Ok(())
}
