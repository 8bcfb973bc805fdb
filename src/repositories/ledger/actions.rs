//! Actions in the ledger.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    action::{Action, ActionSettings},
    ids::ActionId,
    time::Timestamp,
};

impl Ledger {
    /// Creates an action. The caller checks whether its leaderboards exist: the ledger accepts any. `Taken`.
    pub async fn create_action(&self, id: &ActionId, settings: &ActionSettings, now: Timestamp) -> Result<Action, LedgerError> {
        let (id, settings) = (id.clone(), settings.clone());
        Ok(transact!(self.write(LIMIT), actions::create(&id, &settings, now))?)
    }

    /// Changes the settings to what `change` makes of the present ones. Every later commit uses them. `NotFound`.
    pub async fn update_action(
        &self,
        id: &ActionId,
        now: Timestamp,
        change: impl FnOnce(&Action) -> ActionSettings + Send + 'static,
    ) -> Result<Action, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.write(LIMIT), actions::update(&id, now, change))?)
    }

    /// Deletes the action; scores that it has already given stay. `NotFound`.
    pub async fn delete_action(&self, id: &ActionId) -> Result<(), LedgerError> {
        let id = id.clone();
        Ok(transact!(self.write(LIMIT), actions::delete(&id))?)
    }
}
