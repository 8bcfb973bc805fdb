//! Actions: making, changing and deleting the scoring rules.

use std::sync::Arc;

use crate::{
    domain::{
        action::{Action, ActionSettings},
        ids::{ActionId, LeaderboardId},
        time::Clock,
    },
    repositories::ledger::{Ledger, LedgerError},
};

use super::{
    definitions::DefinitionCache,
    error::{FieldError, ServiceError},
};

/// See the module's documentation.
pub struct Actions {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub clock: Clock,
}

impl Actions {
    /// Every action, by id.
    pub fn list(&self) -> Vec<Action> {
        let mut actions: Vec<_> = self.definitions.current().actions.values().cloned().collect();
        actions.sort_by(|a, b| a.id.cmp(&b.id));
        actions
    }

    /// One action.
    pub async fn get(&self, id: &str) -> Result<Action, ServiceError> {
        self.definitions.find(|definitions| definitions.actions.get(id).cloned(), ActionId::parse(id).is_ok(), "action").await
    }

    /// Makes an action.
    pub async fn create(&self, id: &ActionId, settings: &ActionSettings) -> Result<Action, ServiceError> {
        self.check_leaderboards(&settings.leaderboards).await?;
        let action = self.ledger.create_action(id, settings, self.clock.now()).await?;
        self.definitions.refresh().await?;
        Ok(action)
    }

    /// Changes an action. `leaderboards` are the ones that the change names, where it names any.
    pub async fn update(
        &self,
        id: &ActionId,
        leaderboards: Option<&[LeaderboardId]>,
        change: impl FnOnce(&Action) -> ActionSettings + Send + 'static,
    ) -> Result<Action, ServiceError> {
        self.check_leaderboards(leaderboards.unwrap_or_default()).await?;
        let action = self.ledger.update_action(id, self.clock.now(), change).await.map_err(no_action)?;
        self.definitions.refresh().await?;
        Ok(action)
    }

    /// Deletes an action; what it has scored stays.
    pub async fn delete(&self, id: &ActionId) -> Result<(), ServiceError> {
        self.ledger.delete_action(id).await.map_err(no_action)?;
        self.definitions.refresh().await
    }

    async fn check_leaderboards(&self, ids: &[LeaderboardId]) -> Result<(), ServiceError> {
        let mut errors = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            if self.definitions.leaderboard(id.as_str()).await.is_err() {
                errors.push(FieldError::new(
                    format!("leaderboards[{index}]"),
                    "unknown",
                    format!("there is no leaderboard {id}"),
                ));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(errors)) }
    }
}

fn no_action(error: LedgerError) -> ServiceError {
    match ServiceError::from(error) {
        ServiceError::NotFound(_) => ServiceError::NotFound("action"),
        other => other,
    }
}
