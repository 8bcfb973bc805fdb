//! Accounts of those whom another provider knows. Whoever calls has checked what the provider says.

use super::{Accounts, Client, Opened, ServiceError, act, holder};
use crate::{
    domain::{
        account::{Account, Identity, NewAccount},
        caller::Caller,
    },
    repositories::ledger::LedgerError,
};

impl Accounts {
    /// Opens a session of the account that is this identity, and makes that account if there is none: the last value.
    pub async fn sign_in_as(&self, client: &Client, identity: &Identity) -> Result<(Opened, bool), ServiceError> {
        let now = self.clock.now();
        let account = NewAccount::player(now);
        let (token, session) = self.session(client, now);
        let act = act(client, &account.id, now);
        let opened = self.ledger.sign_in_by_identity(identity, &account, &session, act).await;
        let (account, session, is_new) = opened.map_err(|error| match error {
            LedgerError::NotFound(_) => ServiceError::WrongCredentials,
            LedgerError::Taken => ServiceError::NotYet,
            other => other.into(),
        })?;
        Ok((self.opened(&account, &session, &token)?, is_new))
    }

    /// Notes that the caller's account is this identity: user, scores and ranks stay the same.
    pub async fn link_identity(&self, caller: &Caller, client: &Client, identity: &Identity) -> Result<Account, ServiceError> {
        let holder = holder(caller)?;
        let act = act(client, &holder.account, self.clock.now());
        self.ledger.link_identity(&holder.account, identity, act).await.map_err(|error| match error {
            LedgerError::Taken => ServiceError::IdentityTaken,
            other => other.into(),
        })
    }
}
