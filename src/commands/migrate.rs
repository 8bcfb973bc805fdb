//! `scoreboard migrate`

use crate::{
    config::storage::StorageSettings,
    repositories::ledger::{Ledger, LedgerSettings},
};

/// Runs what is pending and prints it.
pub async fn run(storage: &StorageSettings) -> anyhow::Result<()> {
    let ledger = Ledger::connect(&LedgerSettings::new(storage.database_url())).await?;
    let done = ledger.migrate().await?;
    done.iter().for_each(|name| println!("migrated {name}"));
    println!("{} migrations run; the schema is up to date", done.len());
    Ok(())
}
