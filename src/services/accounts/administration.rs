//! Accounts, as administrators see them. Nobody sets another's password: there are links for that.

use uuid::Uuid;

use super::{Accounts, ServiceError, keys::Opaque, settings};
use crate::{
    domain::{
        account::{Account, AccountChange, AccountFilter, Link, LinkPurpose, Login, Roles},
        audit::Act,
        caller::{Caller, Permission},
        ids::{Noun, UserId},
        job::{Mail, NewJob, SendMail},
        time::Timestamp,
    },
    repositories::ledger::LedgerError,
};

/// How long a link is good that an administrator asks for, and an invite, in seconds.
pub const RESET_GOOD: i64 = 86_400;
const INVITE_GOOD: i64 = 7 * 86_400;

/// One page of the list.
pub struct Page {
    /// In the order of their ids.
    pub accounts: Vec<Account>,
    /// The last of these, if there are more.
    pub next: Option<UserId>,
}

impl Accounts {
    /// One account.
    pub async fn get(&self, caller: &Caller, id: &UserId) -> Result<Account, ServiceError> {
        manages(caller)?;
        let _turn = self.turns.next().await?;
        let found = self.ledger.account(id).await?;
        found.map(|(account, _)| account).ok_or(ServiceError::NotFound(Noun::Account))
    }

    /// Accounts in the order of their ids, which is that of their age, up to `limit`.
    pub async fn list(&self, caller: &Caller, filter: &AccountFilter, limit: usize) -> Result<Page, ServiceError> {
        manages(caller)?;
        let _turn = self.turns.next().await?;
        let one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut accounts = self.ledger.accounts(filter, one_more).await?;
        let more = accounts.len() > limit;
        accounts.truncate(limit);
        let next = accounts.last().filter(|_| more).map(|account| account.id.clone());
        Ok(Page { accounts, next })
    }

    /// Changes roles, or whether the account may sign in; if anything differs, its sessions end.
    pub async fn update(&self, caller: &Caller, id: &UserId, change: &AccountChange) -> Result<Account, ServiceError> {
        manages(caller)?;
        let account = self.ledger.update_account(id, change, Act::of(caller, self.clock.now())).await?;
        self.learn_of_ends().await;
        Ok(account)
    }

    /// Deletes an account; its sessions end. The user and the scores stay: erasing those is a moderator's decision.
    pub async fn delete(&self, caller: &Caller, id: &UserId) -> Result<(), ServiceError> {
        manages(caller)?;
        self.ledger.delete_account(id, Act::of(caller, self.clock.now())).await?;
        self.learn_of_ends().await;
        Ok(())
    }

    /// A link to sign up by, to these roles, and only under this login if one is given. If messages are sent, it is sent, too.
    pub async fn invite(
        &self,
        caller: &Caller,
        login: Option<&Login>,
        roles: Roles,
    ) -> Result<(String, Timestamp), ServiceError> {
        manages(caller)?;
        if !matches!(self.open_to, settings::Accounts::Invited | settings::Accounts::Open) {
            return Err(ServiceError::NotFound(Noun::Resource));
        }
        if let Some(login) = login
            && self.ledger.account_by_login(login).await?.is_some()
        {
            return Err(ServiceError::LoginTaken);
        }
        let (now, message) = (self.clock.now(), Uuid::new_v4());
        let (token, expires_at) = (self.keys.link_of(message), now.plus_seconds(INVITE_GOOD));
        let purpose = LinkPurpose::Invite { login: login.cloned(), roles };
        let link = Link { token_hash: token.digest(), purpose, expires_at };
        let mail = login.filter(|_| self.sends_mail).map(|login| {
            let about = Mail::Invite { login: login.clone(), expires_at };
            NewJob::new(&SendMail { message, about }, now)
        });
        self.ledger.give_link(&link, mail, Act::of(caller, now)).await?;
        Ok((self.link_to("invite", &token), expires_at))
    }

    /// A link to choose a new password by, to be handed over by whoever asks for it.
    pub async fn reset_link(&self, caller: &Caller, id: &UserId) -> Result<(String, Timestamp), ServiceError> {
        manages(caller)?;
        let now = self.clock.now();
        let (token, link) = new_reset(id, now);
        self.ledger.give_link(&link, None, Act::of(caller, now)).await.map_err(|error| match error {
            LedgerError::Conflict(_) => ServiceError::Conflict("this account has no login".into()),
            other => other.into(),
        })?;
        Ok((self.link_to("reset", &token), link.expires_at))
    }
}

/// Refuses whoever may not manage accounts, and keys that are bound to leaderboards: an account is for all of them.
fn manages(caller: &Caller) -> Result<(), ServiceError> {
    Ok(caller.authorize_everywhere(Permission::ManageAccounts)?)
}

/// A link to choose a new password by, and the token in it.
pub fn new_reset(id: &UserId, now: Timestamp) -> (Opaque, Link) {
    let token = Opaque::for_link();
    let expires_at = now.plus_seconds(RESET_GOOD);
    let link = Link { token_hash: token.digest(), purpose: LinkPurpose::Reset(id.clone()), expires_at };
    (token, link)
}
