//! Signing up and in.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    account::{Account, Identity, NewAccount, NewSession, Session},
    audit::Act,
    caller::SessionId,
    ids::UserId,
    sign_in::{Keys, Verdict},
    time::Timestamp,
};

/// An attempt with the right password.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub account: UserId,
    pub keys: Keys,
    /// The stored hash that it was compared with.
    pub verified: String,
    /// The same password's hash by today's parameters, if the stored one is by others.
    pub rehashed: Option<String>,
}

/// What becomes of an attempt.
#[derive(Debug, Clone)]
pub enum Admitted {
    Session(Box<(Account, Session)>),
    /// Not before then.
    Wait(Timestamp),
}

impl Ledger {
    /// Until when an attempt has to wait, if it has to.
    pub async fn sign_in_wait(&self, keys: Keys, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let counts = transact!(self.serve(LIMIT), sign_ins::counts(&keys, now))?;
        Ok(match counts.verdict(now) {
            Verdict::Go => None,
            Verdict::Wait(until) => Some(until),
            Verdict::Begin(_) => transact!(self.write(LIMIT), sign_ins::begin_wait(&keys, now))?,
        })
    }

    /// Counts a failure, unless another one has begun a wait meanwhile: then until when.
    pub async fn sign_in_failed(&self, keys: Keys, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        Ok(transact!(self.write(LIMIT), sign_ins::fail(&keys, now))?)
    }

    /// Opens a session for whoever knew the password. `NotFound`: it is another one by now, or the account is disabled.
    pub async fn sign_in(&self, attempt: &SignIn, session: &NewSession) -> Result<Admitted, LedgerError> {
        let (attempt, session) = (attempt.clone(), session.clone());
        Ok(transact!(self.write(LIMIT), sign_ins::sign_in(&attempt, &session))?)
    }

    /// Opens a session of the account of the device whose secret has this SHA-256. `NotFound`: there is none (any more), or it is
    /// disabled.
    pub async fn sign_in_by_device(
        &self,
        secret_hash: [u8; 32],
        session: &NewSession,
    ) -> Result<(Account, Session), LedgerError> {
        let session = session.clone();
        Ok(transact!(self.write(LIMIT), sign_ins::by_device(&secret_hash, &session))?)
    }

    /// Makes an account and opens its first session; its address, counted by these keys, is known from now on. `Taken`: somebody has the login; `LinkInvalid`: the invite is not good.
    pub async fn sign_up(
        &self,
        new: &NewAccount,
        invite: Option<[u8; 32]>,
        keys: Keys,
        session: &NewSession,
        act: Act,
    ) -> Result<(Account, Session), LedgerError> {
        let (new, session) = (new.clone(), session.clone());
        Ok(transact!(self.write(LIMIT), sign_ins::sign_up(&new, invite.as_ref(), &keys, &session, &act))?)
    }

    /// Makes a guest's account and opens its first session, unless as many as may have come from this address (a keyed hash)
    /// within the hour.
    pub async fn add_guest(
        &self,
        address: [u8; 32],
        at_most: i64,
        new: &NewAccount,
        session: &NewSession,
        act: Act,
    ) -> Result<Admitted, LedgerError> {
        let (new, session) = (new.clone(), session.clone());
        Ok(transact!(self.write(LIMIT), sign_ins::arrive((&address, at_most), &new, &session, &act))?)
    }

    /// Opens a session of the account of whoever a provider says somebody is, and makes that account if there is none: the last
    /// value. `NotFound`: it is disabled; `Taken`: another request makes it at this moment.
    pub async fn sign_in_by_identity(
        &self,
        identity: &Identity,
        new: &NewAccount,
        session: &NewSession,
        act: Act,
    ) -> Result<(Account, Session, bool), LedgerError> {
        let (identity, new, session) = (identity.clone(), new.clone(), session.clone());
        Ok(transact!(self.write(LIMIT), sign_ins::by_identity(&identity, &new, &session, &act))?)
    }

    /// Replaces a password whose present one somebody has shown, and ends all other sessions: their ids, or until when the
    /// attempt has to wait. `NotFound`: it is another one by now.
    pub async fn change_password(
        &self,
        attempt: &SignIn,
        password: &str,
        kept: SessionId,
        act: Act,
    ) -> Result<Result<Vec<SessionId>, Timestamp>, LedgerError> {
        let (attempt, password) = (attempt.clone(), password.to_owned());
        Ok(transact!(self.write(LIMIT), sign_ins::change_password(&attempt, &password, kept, &act))?)
    }
}
