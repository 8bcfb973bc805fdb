//! Corrections: what changes rankings besides scores.

use std::sync::Arc;

use crate::{
    domain::{
        audit::Act,
        caller::{Caller, Permission},
        ids::{LeaderboardId, Noun, UserId},
        time::Clock,
    },
    repositories::ledger::{Ledger, LedgerError},
};

use super::{announcer::Announcer, boundaries::Boundaries, definitions::DefinitionCache, error::ServiceError};

/// See the module's documentation.
pub struct Corrections {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub announcer: Arc<Announcer>,
    pub boundaries: Arc<Boundaries>,
    pub clock: Clock,
}

impl Corrections {
    /// Removes a user's entry from a leaderboard, and announces that to its watchers. The history keeps the scores; the user's
    /// next score counts as a first one.
    pub async fn remove_entry(&self, caller: &Caller, id: &LeaderboardId, user: &UserId) -> Result<(), ServiceError> {
        caller.authorize(Permission::Manage)?;
        let leaderboard = self.definitions.leaderboard(id.as_str()).await?;
        let act = Act::of(caller, self.clock.now());
        let removed = match self.ledger.remove_entry(&leaderboard.id, user, act.clone()).await {
            Err(LedgerError::BoundaryDue(pks)) => {
                self.boundaries.carry_out(Some(pks)).await?;
                self.ledger.remove_entry(&leaderboard.id, user, act).await?
            }
            removed => removed?,
        };
        let removed = removed.ok_or(ServiceError::NotFound(Noun::Entry))?;
        if let Some((row, announcement)) = &removed.outbox {
            self.announcer.announce_row(*row, announcement).await;
        }
        Ok(())
    }
}
