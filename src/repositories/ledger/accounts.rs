//! Accounts in the ledger, and the links that somebody is given.

use uuid::Uuid;

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    account::{Account, AccountChange, AccountFilter, Holder, Identity, Link, LinkPurpose, Login, NewAccount},
    audit::Act,
    caller::SessionId,
    ids::UserId,
    job::NewJob,
    sign_in::Keys,
    time::Timestamp,
};

impl Ledger {
    /// An account, and its password's hash in the PHC format.
    pub async fn account(&self, id: &UserId) -> Result<Option<(Account, Option<String>)>, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.serve(LIMIT), accounts::find(&id))?)
    }

    /// The same, by login.
    pub async fn account_by_login(&self, login: &Login) -> Result<Option<(Account, Option<String>)>, LedgerError> {
        let login = login.clone();
        Ok(transact!(self.serve(LIMIT), accounts::by_login(&login))?)
    }

    /// The account of whoever a provider says somebody is.
    pub async fn account_by_identity(&self, identity: &Identity) -> Result<Option<Account>, LedgerError> {
        let identity = identity.clone();
        Ok(transact!(self.serve(LIMIT), accounts::by_identity(&identity))?)
    }

    /// Makes an account without a session. `Taken`: somebody has its login.
    pub async fn add_account(&self, new: &NewAccount, link: &Link, act: Act) -> Result<Account, LedgerError> {
        let (new, link) = (new.clone(), link.clone());
        Ok(transact!(self.write(LIMIT), account_links::add_account(&new, &link, &act))?)
    }

    /// Accounts in the order of their ids, up to `limit`.
    pub async fn accounts(&self, filter: &AccountFilter, limit: i64) -> Result<Vec<Account>, LedgerError> {
        let filter = filter.clone();
        Ok(transact!(self.serve(LIMIT), accounts::page(&filter, limit))?)
    }

    /// Changes an account; if anything differs, its sessions end. `NotFound`: there is none.
    pub async fn update_account(&self, id: &UserId, change: &AccountChange, act: Act) -> Result<Account, LedgerError> {
        let (id, change) = (id.clone(), change.clone());
        Ok(transact!(self.write(LIMIT), accounts::update(&id, &change, &act))?)
    }

    /// Deletes an account, and ends its sessions. The user and the scores stay.
    pub async fn delete_account(&self, id: &UserId, act: Act) -> Result<(), LedgerError> {
        let id = id.clone();
        Ok(transact!(self.write(LIMIT), accounts::delete(&id, &act))?)
    }

    /// Gives an account a login and a password's hash. `Taken`: another account has the login; `Conflict`: this one has a login
    /// already.
    pub async fn link_login(&self, by: &Holder, login: &Login, password: &str, act: Act) -> Result<Account, LedgerError> {
        let (by, login, password) = (by.clone(), login.clone(), password.to_owned());
        Ok(transact!(self.write(LIMIT), accounts::link_login(&by, &login, &password, &act))?)
    }

    /// Notes that an account is who a provider says somebody is. `Taken`: another account is.
    pub async fn link_identity(&self, by: &Holder, identity: &Identity, act: Act) -> Result<Account, LedgerError> {
        let (by, identity) = (by.clone(), identity.clone());
        Ok(transact!(self.write(LIMIT), accounts::link_identity(&by, &identity, &act))?)
    }

    /// Stores a link that an administrator asks for, and a job about it. `Conflict`: it resets the password of an account
    /// without a login.
    pub async fn give_link(&self, link: &Link, job: Option<NewJob>, act: Act) -> Result<Option<Account>, LedgerError> {
        let link = link.clone();
        Ok(transact!(self.write(LIMIT), account_links::give(&link, job.as_ref(), &act))?)
    }

    /// Stores the link of a message that is about to be sent to this account; the login that it is for, unless there is none.
    pub async fn send_link(&self, link: &Link, account: &UserId, now: Timestamp) -> Result<Option<Login>, LedgerError> {
        let (link, account) = (link.clone(), account.clone());
        Ok(transact!(self.write(LIMIT), account_links::send(&link, &account, now))?)
    }

    /// Adds the job that sends a link to whoever has this login, unless nobody has, or asked after `since`.
    pub async fn ask_for_reset(&self, login: &Login, message: Uuid, since: Timestamp, now: Timestamp) -> Result<(), LedgerError> {
        let login = login.clone();
        Ok(transact!(self.write(LIMIT), account_links::ask_for_reset(&login, message, since, now))?)
    }

    /// What a link is good for, while it is.
    pub async fn link(&self, token_hash: [u8; 32], now: Timestamp) -> Result<Option<LinkPurpose>, LedgerError> {
        Ok(transact!(self.serve(LIMIT), account_links::find(&token_hash, now))?)
    }

    /// The account whose password a link resets, while the link is good.
    pub async fn resettable(&self, token_hash: [u8; 32], now: Timestamp) -> Result<Option<Account>, LedgerError> {
        Ok(transact!(self.serve(LIMIT), account_links::resettable(&token_hash, now))?)
    }

    /// Sets a password by a link, which is used up, and ends all sessions of the account; returns their ids. Failures with the former
    /// password, counted by these keys, are forgotten. `LinkInvalid`: it is not good.
    pub async fn reset_password(
        &self,
        token_hash: [u8; 32],
        password: &str,
        keys: Keys,
        now: Timestamp,
        request_id: Option<&str>,
    ) -> Result<Vec<SessionId>, LedgerError> {
        let (password, request_id) = (password.to_owned(), request_id.map(str::to_owned));
        Ok(transact!(self.write(LIMIT), account_links::reset(&token_hash, &password, &keys, now, request_id.as_deref()))?)
    }

    /// Deletes what of accounts has expired, and the ended sessions that ended before `forgotten`, up to `limit` rows of each
    /// kind; returns how many.
    pub async fn prune_accounts(&self, now: Timestamp, forgotten: Timestamp, limit: i64) -> Result<usize, LedgerError> {
        let sessions = transact!(self.write(LIMIT), sessions::prune(now, forgotten, limit))?;
        let links = transact!(self.write(LIMIT), account_links::prune(now, limit))?;
        let counts = transact!(self.write(LIMIT), sign_ins::prune(now, limit))?;
        Ok(sessions + links + counts)
    }
}
