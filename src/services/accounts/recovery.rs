//! Passwords that are changed, forgotten, and chosen anew.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{Accounts, Client, ServiceError, act, holder, keys};
use crate::{
    domain::{account::Login, caller::Caller, ids::Noun, password::Password},
    repositories::ledger::{LedgerError, SignIn},
    services::passwords::Verified,
};

/// How long whoever has forgotten a password waits for the answer, whatever there is to do: longer than a commit takes, so that
/// the time does not tell whether there is such a login.
const ANSWERED_AFTER: Duration = Duration::from_millis(400);
/// How long after one link another one is sent, in seconds.
const NEXT_LINK: i64 = 60;

impl Accounts {
    /// Changes the caller's password; all other sessions end.
    pub async fn change_password(&self, caller: &Caller, client: &Client, current: &str, new: &str) -> Result<(), ServiceError> {
        let holder = holder(caller)?;
        self.offers_passwords()?;
        let found = self.ledger.account(&holder.account).await?;
        let (account, stored) = found.ok_or(ServiceError::NotFound(Noun::Account))?;
        let (Some(login), Some(stored)) = (account.login, stored) else {
            return Err(ServiceError::Conflict("this account has no password yet: link a login".into()));
        };
        let new = chosen(new, &login)?;
        let keys = self.keys.counted(&login, client.address);
        if let Some(until) = self.ledger.sign_in_wait(keys, self.clock.now()).await? {
            return Err(self.too_soon(until));
        }
        if self.passwords.verify(current.as_bytes(), Some(&stored)).await? == Verified::Wrong {
            return Err(self.failed(keys).await?);
        }
        let hash = self.passwords.hash(new.as_bytes()).await?;
        let attempt = SignIn { account: account.id.clone(), keys, verified: stored, rehashed: None };
        let act = act(client, &account.id, self.clock.now());
        match self.ledger.change_password(&attempt, &hash, holder.session, act).await {
            Ok(Ok(_)) => {
                self.learn_of_ends().await;
                Ok(())
            }
            Ok(Err(until)) => Err(self.too_soon(until)),
            Err(LedgerError::NotFound(_)) => Err(self.failed(keys).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a link to whoever has this login. The answer and its time are the same if nobody has.
    pub async fn forgot(&self, login: &str) -> Result<(), ServiceError> {
        self.offers_passwords()?;
        let login = Login::parse(login).map_err(|error| ServiceError::invalid("login", "format", error.0))?;
        let (answer_at, now) = (Instant::now() + ANSWERED_AFTER, self.clock.now());
        let asked = match self.sends_mail {
            true => self.ledger.ask_for_reset(&login, Uuid::new_v4(), now.plus_seconds(-NEXT_LINK), now).await,
            false => Ok(()),
        };
        sleep_until(answer_at).await;
        Ok(asked?)
    }

    /// Sets a password by a link; all sessions of the account end.
    pub async fn reset(&self, client: &Client, token: &str, new: &str) -> Result<(), ServiceError> {
        self.offers_passwords()?;
        let invalid = || ServiceError::InvalidToken("the link was used before, or has expired".into());
        let token_hash = keys::digest(token.as_bytes());
        let account = self.ledger.resettable(token_hash, self.clock.now()).await?.ok_or_else(invalid)?;
        let login = account.login.as_ref().ok_or_else(invalid)?;
        let (new, keys) = (chosen(new, login)?, self.keys.counted(login, client.address));
        let hash = self.passwords.hash(new.as_bytes()).await?;
        let reset = self.ledger.reset_password(token_hash, &hash, keys, self.clock.now(), Some(&client.request_id)).await;
        match reset {
            Ok(_) => {
                self.learn_of_ends().await;
                Ok(())
            }
            Err(LedgerError::LinkInvalid) => Err(invalid()),
            Err(error) => Err(error.into()),
        }
    }
}

fn chosen(new: &str, login: &Login) -> Result<Password, ServiceError> {
    Password::choose(new, Some(login)).map_err(|why| ServiceError::invalid("new", "weak", why))
}
