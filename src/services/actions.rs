//! Actions: creating, changing and deleting the scoring rules.

use std::sync::Arc;

use crate::{
    domain::{
        action::{Action, ActionSettings},
        audit::Act,
        caller::{Caller, Permission},
        definition::Definitions,
        ids::{ActionId, LeaderboardId, Noun},
        leaderboard::{Leaderboard, Visibility},
        time::Clock,
    },
    repositories::ledger::Ledger,
};

use super::{
    definitions::DefinitionCache,
    error::{FieldError, ServiceError},
    leaderboards::sees_private,
};

/// See the module's documentation.
pub struct Actions {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub clock: Clock,
}

impl Actions {
    /// Every action as this caller may see it ([`Self::visible`]), by id.
    pub fn list(&self, caller: &Caller) -> Result<Vec<Action>, ServiceError> {
        let private_too = sees_private(caller, &self.definitions)?;
        let definitions = self.definitions.current();
        let shown = |action: &Action| if private_too { Some(action.clone()) } else { public_part(action, &definitions) };
        let mut actions: Vec<_> = definitions.actions().filter_map(shown).collect();
        actions.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(actions)
    }

    /// One action, without the leaderboards whose definitions this caller may not see. An action that feeds no others is not found.
    pub async fn visible(&self, caller: &Caller, id: &str) -> Result<Action, ServiceError> {
        let action = self.find(id).await?;
        if sees_private(caller, &self.definitions)? {
            return Ok(action);
        }
        public_part(&action, &self.definitions.current()).ok_or(ServiceError::NotFound(Noun::Action))
    }

    /// One complete action, for a caller that is about to change it.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Action, ServiceError> {
        caller.authorize(Permission::Manage)?;
        self.find(id).await
    }

    async fn find(&self, id: &str) -> Result<Action, ServiceError> {
        self.definitions.find(|definitions| definitions.action(id).cloned(), ActionId::parse(id).is_ok(), Noun::Action).await
    }

    /// Creates an action.
    pub async fn create(&self, caller: &Caller, id: &ActionId, settings: &ActionSettings) -> Result<Action, ServiceError> {
        caller.authorize(Permission::Manage)?;
        self.check_leaderboards(&settings.leaderboards).await?;
        let action = self.ledger.create_action(id, settings, Act::of(caller, self.clock.now())).await?;
        self.definitions.refresh().await?;
        Ok(action)
    }

    /// Changes an action. `leaderboards` are the ones that the change names, if it names any.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &ActionId,
        leaderboards: Option<&[LeaderboardId]>,
        change: impl FnOnce(&Action) -> ActionSettings + Send + 'static,
    ) -> Result<Action, ServiceError> {
        caller.authorize(Permission::Manage)?;
        self.check_leaderboards(leaderboards.unwrap_or_default()).await?;
        let action = self.ledger.update_action(id, Act::of(caller, self.clock.now()), change).await?;
        self.definitions.refresh().await?;
        Ok(action)
    }

    /// Deletes an action; scores that it has already given stay.
    pub async fn delete(&self, caller: &Caller, id: &ActionId) -> Result<(), ServiceError> {
        caller.authorize(Permission::Manage)?;
        self.ledger.delete_action(id, Act::of(caller, self.clock.now())).await?;
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

/// The part of the action that a caller may know who sees only public leaderboards; `None` if it feeds none of them.
fn public_part(action: &Action, definitions: &Definitions) -> Option<Action> {
    let mut action = action.clone();
    let public = |leaderboard: &Leaderboard| leaderboard.settings.visibility == Visibility::Public;
    action.settings.leaderboards.retain(|id| definitions.leaderboard(id.as_str()).is_some_and(public));
    (!action.settings.leaderboards.is_empty()).then_some(action)
}
