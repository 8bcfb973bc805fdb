//! Actions: creating, changing and deleting the scoring rules.

use std::sync::Arc;

use crate::{
    domain::{
        action::{Action, ActionSettings},
        audit::Act,
        caller::{Caller, Permission},
        definition::Definitions,
        ids::{ActionId, LeaderboardId, Noun},
        leaderboard::Leaderboard,
        time::Clock,
    },
    repositories::ledger::{Ledger, LedgerError},
};

use super::{
    definitions::DefinitionCache,
    error::{FieldError, ServiceError},
    leaderboards::seen_by,
    runs::RunTokens,
};

/// See the module's documentation.
pub struct Actions {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub clock: Clock,
    pub runs: Arc<RunTokens>,
}

impl Actions {
    /// Every action as this caller may see it ([`Self::visible`]), by id.
    pub fn list(&self, caller: &Caller) -> Result<Vec<Action>, ServiceError> {
        let seen = seen_by(caller, &self.definitions)?;
        let definitions = self.definitions.current();
        let shown = |action: &Action| visible_part(caller, action, &definitions, &seen);
        let mut actions: Vec<_> = definitions.actions().filter_map(shown).collect();
        actions.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(actions)
    }

    /// One action, without the leaderboards whose definitions this caller may not see. An action that feeds no others is not found.
    pub async fn visible(&self, caller: &Caller, id: &str) -> Result<Action, ServiceError> {
        let action = self.find(id).await?;
        self.shown(caller, &action)
    }

    fn shown(&self, caller: &Caller, action: &Action) -> Result<Action, ServiceError> {
        let seen = seen_by(caller, &self.definitions)?;
        visible_part(caller, action, &self.definitions.current(), &seen).ok_or(ServiceError::NotFound(Noun::Action))
    }

    /// One complete action, for a caller that is about to change it.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Action, ServiceError> {
        caller.authorize(Permission::Manage)?;
        let action = self.find(id).await?;
        self.shown(caller, &action)?;
        caller.authorize_on_all(Permission::Manage, &action.settings.leaderboards)?;
        Ok(action)
    }

    async fn find(&self, id: &str) -> Result<Action, ServiceError> {
        self.definitions.find(|definitions| definitions.action(id).cloned(), ActionId::parse(id).is_ok(), Noun::Action).await
    }

    /// Creates an action.
    pub async fn create(&self, caller: &Caller, id: &ActionId, settings: &ActionSettings) -> Result<Action, ServiceError> {
        caller.authorize(Permission::Manage)?;
        manages_all(caller, &settings.leaderboards)?;
        if settings.run.is_some() {
            self.may_be_of_runs(caller)?;
        }
        self.check_leaderboards(&settings.leaderboards).await?;
        let action = self.ledger.create_action(id, settings, Act::of(caller, self.clock.now())).await?;
        self.definitions.refresh().await?;
        Ok(action)
    }

    /// Refuses an action of runs where no run token can be signed: nobody could ever submit it.
    pub fn may_be_of_runs(&self, caller: &Caller) -> Result<(), ServiceError> {
        caller.authorize(Permission::Manage)?;
        self.runs.available().map_err(|error| ServiceError::invalid("run", "runs-unavailable", error.to_string()))
    }

    /// Changes an action. `leaderboards` are the ones that the change names, if it names any.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &ActionId,
        leaderboards: Option<&[LeaderboardId]>,
        change: impl FnOnce(&Action) -> ActionSettings + Send + 'static,
    ) -> Result<Action, ServiceError> {
        self.get(caller, id.as_str()).await?;
        manages_all(caller, leaderboards.unwrap_or_default())?;
        self.check_leaderboards(leaderboards.unwrap_or_default()).await?;
        let action = self.ledger.update_action(id, Act::of(caller, self.clock.now()), manages(caller), change).await?;
        self.definitions.refresh().await?;
        Ok(action)
    }

    /// Deletes an action; scores that it has already given stay.
    pub async fn delete(&self, caller: &Caller, id: &ActionId) -> Result<(), ServiceError> {
        self.get(caller, id.as_str()).await?;
        self.ledger.delete_action(id, Act::of(caller, self.clock.now()), manages(caller)).await?;
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

/// Refuses a caller who does not manage all these leaderboards, which it names: an action changes each of them.
fn manages_all(caller: &Caller, leaderboards: &[LeaderboardId]) -> Result<(), ServiceError> {
    caller.authorize(Permission::Manage)?;
    leaderboards.iter().try_for_each(|id| caller.authorize_on(Permission::Manage, id.as_str()))?;
    Ok(())
}

/// Judges once more when nobody else can change the action: it may feed other leaderboards by now.
fn manages(caller: &Caller) -> impl FnOnce(&Action) -> Result<(), LedgerError> + Send + 'static {
    let caller = caller.clone();
    move |action| {
        let allowed = caller.authorize_on_all(Permission::Manage, &action.settings.leaderboards);
        allowed.map_err(|denied| LedgerError::Forbidden(ServiceError::from(denied).to_string()))
    }
}

/// The action with those of its leaderboards alone that the caller is shown; `None` if it feeds no other. Whoever is shown all is also shown those that
/// do not exist any more.
fn visible_part(
    caller: &Caller,
    action: &Action,
    definitions: &Definitions,
    seen: impl Fn(&Leaderboard) -> bool,
) -> Option<Action> {
    let mut action = action.clone();
    if caller.may_everywhere(Permission::SeePrivateDefinitions) {
        return Some(action);
    }
    action.settings.leaderboards.retain(|id| definitions.leaderboard(id.as_str()).is_some_and(&seen));
    (!action.settings.leaderboards.is_empty()).then_some(action)
}
