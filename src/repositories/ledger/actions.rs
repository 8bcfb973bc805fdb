//! Actions in the ledger.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    action::{Action, ActionSettings},
    audit::Act,
    ids::ActionId,
};

impl Ledger {
    /// Creates an action. The caller checks whether its leaderboards exist: the ledger accepts any. `Taken`.
    pub async fn create_action(
        &self,
        id: &ActionId,
        settings: &ActionSettings,
        act: impl Into<Act>,
    ) -> Result<Action, LedgerError> {
        let (id, settings, act) = (id.clone(), settings.clone(), act.into());
        Ok(transact!(self.write(LIMIT), actions::create(&id, &settings, &act))?)
    }

    /// Changes the settings to what `change` makes of the present ones. Every later commit uses them. `NotFound`.
    pub async fn update_action(
        &self,
        id: &ActionId,
        act: impl Into<Act>,
        may: impl FnOnce(&Action) -> Result<(), LedgerError> + Send + 'static,
        change: impl FnOnce(&Action) -> ActionSettings + Send + 'static,
    ) -> Result<Action, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), actions::update(&id, &act, may, change))?)
    }

    /// Deletes the action; scores that it has already given stay. `NotFound`.
    pub async fn delete_action(
        &self,
        id: &ActionId,
        act: impl Into<Act>,
        may: impl FnOnce(&Action) -> Result<(), LedgerError> + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), actions::delete(&id, &act, may))?)
    }
}
