//! Migrates the schema, and refuses one that is ahead: a release knows the migrations it was built with, and cannot judge what
//! a later one made of a table. An instance that is already running continues: a migration is written so that the previous
//! release works on its schema.

use std::collections::HashSet;

use diesel::{
    backend::Backend,
    connection::SimpleConnection,
    deserialize::QueryableByName,
    migration::{Migration, MigrationSource},
    query_builder::SqlQuery,
    query_dsl::methods::LoadQuery,
    sql_types::{Nullable, Text},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use super::LedgerError;

/// This release.
const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// The migration that began to record the releases.
const NOTED_SINCE: &str = "20261126000010";

/// The schema has migrations that this release does not know.
#[derive(Debug, thiserror::Error)]
#[error(
    "the schema has migration {migration}, which this release (scoreboard {RELEASE}) does not know: it is of a newer one. \
     Start {needed} or newer"
)]
struct Ahead {
    migration: String,
    needed: String,
}

#[derive(QueryableByName)]
pub(super) struct Noted {
    #[diesel(sql_type = Nullable<Text>)]
    migrated_by: Option<String>,
}

/// Runs pending migrations and returns their names. An error if the schema is ahead; see [`refusal`].
pub(super) fn run_pending<DB, C>(connection: &mut C, known: EmbeddedMigrations) -> diesel::migration::Result<Vec<String>>
where
    DB: Backend,
    C: MigrationHarness<DB> + SimpleConnection,
    SqlQuery: for<'a> LoadQuery<'a, C, Noted>,
{
    let migrations: Vec<Box<dyn Migration<DB>>> = known.migrations()?;
    let ours: HashSet<_> = migrations.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied: Vec<_> = connection.applied_migrations()?.iter().map(ToString::to_string).collect();
    if let Some(migration) = applied.iter().filter(|version| !ours.contains(*version)).max() {
        let noted = applied.iter().any(|version| version == NOTED_SINCE);
        let noted = if noted {
            diesel::sql_query("SELECT migrated_by FROM installation").internal_load(connection)?.next()
        } else {
            None
        };
        let release = noted.transpose()?.and_then(|noted: Noted| noted.migrated_by).filter(|release| release != RELEASE);
        let needed = release
            .map_or_else(|| format!("the release that has migration {migration}"), |release| format!("scoreboard {release}"));
        return Err(Ahead { migration: migration.clone(), needed }.into());
    }
    let ran: Vec<_> = connection.run_pending_migrations(known)?.iter().map(ToString::to_string).collect();
    if !ran.is_empty() {
        connection.batch_execute(&format!("UPDATE installation SET migrated_by = '{RELEASE}'"))?;
    }
    Ok(ran)
}

/// The error that the ledger's caller sees for a failed migration.
pub(super) fn refusal(error: &(dyn std::error::Error + Send + Sync + 'static)) -> LedgerError {
    let reason = error.to_string();
    if error.is::<Ahead>() { LedgerError::Unusable(reason) } else { LedgerError::Unavailable(reason.into()) }
}
