//! API keys in the ledger.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    api_key::{ApiKey, KeySettings, Secrets},
    audit::Act,
    ids::KeyId,
    time::Timestamp,
};

/// A key, and when it was last used, to the minute.
pub type UsedApiKey = (ApiKey, Option<Timestamp>);

impl Ledger {
    /// Stores a new key. `Taken`.
    pub async fn create_api_key(&self, key: &ApiKey, act: impl Into<Act>) -> Result<(), LedgerError> {
        let (key, act) = (key.clone(), act.into());
        Ok(transact!(self.write(LIMIT), api_keys::create(&key, &act))?)
    }

    /// Changes a key to what `change` makes of the present one; the audit trail shows what that `did`. Every later commit is settled
    /// with it. `NotFound`, or whatever `change` refuses with.
    pub async fn change_api_key(
        &self,
        id: &KeyId,
        act: impl Into<Act>,
        did: &'static str,
        change: impl FnOnce(&ApiKey) -> Result<(KeySettings, Secrets), LedgerError> + Send + 'static,
    ) -> Result<UsedApiKey, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), api_keys::change(&id, &act, did, change))?)
    }

    /// Deletes a key, if `may` allows it; no later commit is settled with it. `NotFound`, or whatever `may` refuses with.
    pub async fn delete_api_key(
        &self,
        id: &KeyId,
        act: impl Into<Act>,
        may: impl FnOnce(&ApiKey) -> Result<(), LedgerError> + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), api_keys::delete(&id, &act, may))?)
    }

    /// The key, if there is one.
    pub async fn api_key(&self, id: &KeyId) -> Result<Option<UsedApiKey>, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.serve(LIMIT), api_keys::find(&id))?)
    }

    /// Up to `limit` keys after this id, in the order of their ids.
    pub async fn api_keys(&self, after: Option<&KeyId>, limit: i64) -> Result<Vec<UsedApiKey>, LedgerError> {
        let after = after.cloned();
        Ok(transact!(self.serve(LIMIT), api_keys::page(after.as_ref(), limit))?)
    }

    /// Notes when keys were last used.
    pub async fn note_key_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), LedgerError> {
        Ok(transact!(self.relaxed(LIMIT), api_keys::note_uses(&uses))?)
    }
}
