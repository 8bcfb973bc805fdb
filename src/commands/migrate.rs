//! `scoreboard migrate`

use anyhow::Context;

use super::counted;
use crate::{
    config::storage::StorageSettings,
    repositories::ledger::{Ledger, LedgerSettings},
};

/// Runs what is pending and prints it.
pub async fn run(storage: &StorageSettings) -> anyhow::Result<()> {
    storage.check()?;
    let ledger = Ledger::connect(&LedgerSettings::new(storage.database_url())).await.context(storage.ledger_setting())?;
    let done = ledger.migrate().await.context("the ledger could not be migrated")?;
    done.iter().for_each(|name| println!("migrated {name}"));
    println!("{} run; the schema is up to date", counted(done.len(), "migration"));
    Ok(())
}
