//! What a start does before it serves: rankings that are lost or wrong are built anew.

use std::{sync::Arc, time::Duration};

use crate::services::{definitions::DefinitionCache, inspection::Inspection, rebuild::Rebuilder};

/// How long a start waits for rankings that have to be rebuilt; the rest is rebuilt while serving.
const REBUILD_PATIENCE: Duration = Duration::from_secs(5);

/// Compares the rankings with the ledger, rebuilds those that are not ready or wrong, and waits briefly for the rebuilds.
pub(super) async fn of_rankings(inspection: &Inspection, definitions: &DefinitionCache, rebuilder: &Arc<Rebuilder>) {
    match tokio::time::timeout(REBUILD_PATIENCE, inspection.first_round()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the rankings could not be compared with the ledger yet"),
        Err(_) => tracing::warn!("the rankings are still being compared with the ledger"),
    }
    let definitions = definitions.current();
    let mut ends: Vec<_> = definitions
        .leaderboards()
        .filter(|leaderboard| rebuilder.is_rebuilding(leaderboard.pk))
        .map(|leaderboard| rebuilder.kick(leaderboard.board()))
        .collect();
    let all = futures_util::future::join_all(ends.iter_mut().map(|ended| ended.changed()));
    if tokio::time::timeout(REBUILD_PATIENCE, all).await.is_err() {
        tracing::warn!("rankings are still being rebuilt: serving from the ledger meanwhile");
    }
}
