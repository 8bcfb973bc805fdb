//! Accounts of those whom an identity provider knows: signing in by its ID token, and linking one's account to it.

use super::{Accounts, Client, Opened, ServiceError, act, holder, settings};
use crate::{
    domain::{
        account::{Account, Identity, NewAccount},
        caller::Caller,
    },
    repositories::ledger::LedgerError,
};

/// What an identity provider says of somebody.
pub struct ProviderToken<'a> {
    /// The provider's id among ours.
    pub provider: &'a str,
    pub id_token: &'a str,
    /// What the client has chosen for this token.
    pub nonce: &'a str,
}

impl Accounts {
    /// Opens a session of whoever the provider says it is, and makes the account if there is none: the last value.
    pub async fn sign_in_by_provider(&self, client: &Client, token: ProviderToken<'_>) -> Result<(Opened, bool), ServiceError> {
        self.offers_passwords()?;
        let identity = self.identity(token).await?;
        if self.open_to == settings::Accounts::Invited && self.ledger.account_by_identity(&identity).await?.is_none() {
            return Err(ServiceError::Forbidden("signing up needs an invite here: sign up by it, then link the provider".into()));
        }
        self.sign_in_as(client, &identity).await
    }

    /// Links the caller's account to whoever the provider says it is.
    pub async fn link_provider(
        &self,
        caller: &Caller,
        client: &Client,
        token: ProviderToken<'_>,
    ) -> Result<Account, ServiceError> {
        self.offers_passwords()?;
        holder(caller)?;
        let identity = self.identity(token).await?;
        self.link_identity(caller, client, &identity).await
    }

    async fn identity(&self, token: ProviderToken<'_>) -> Result<Identity, ServiceError> {
        let ProviderToken { provider, id_token, nonce } = token;
        let unknown = || ServiceError::invalid("provider", "unknown", "there is no such identity provider");
        self.providers.as_ref().ok_or_else(unknown)?.verify(provider, id_token, nonce).await
    }

    /// Opens a session of the account that is this identity, and makes that account if there is none: the last value.
    async fn sign_in_as(&self, client: &Client, identity: &Identity) -> Result<(Opened, bool), ServiceError> {
        let now = self.clock.now();
        let account = NewAccount::player(now);
        let (token, session) = self.session(client, now);
        let act = act(client, &account.id, now);
        let mut opened = self.ledger.sign_in_by_identity(identity, &account, &session, act.clone()).await;
        if matches!(opened, Err(LedgerError::Taken)) {
            // Another request has just made the account: now there is one.
            opened = self.ledger.sign_in_by_identity(identity, &account, &session, act).await;
        }
        let (account, session, is_new) = opened.map_err(|error| match error {
            LedgerError::NotFound(_) => ServiceError::WrongCredentials,
            LedgerError::Taken => ServiceError::NotYet,
            other => other.into(),
        })?;
        Ok((self.opened(&account, &session, &token)?, is_new))
    }

    /// Notes that the caller's account is this identity: user, scores and ranks stay the same.
    async fn link_identity(&self, caller: &Caller, client: &Client, identity: &Identity) -> Result<Account, ServiceError> {
        let holder = holder(caller)?;
        let act = act(client, &holder.account, self.clock.now());
        self.ledger.link_identity(&holder, identity, act).await.map_err(|error| match error {
            LedgerError::Taken => ServiceError::IdentityTaken,
            other => other.into(),
        })
    }
}
