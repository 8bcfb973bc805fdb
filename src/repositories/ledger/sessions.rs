//! Sessions in the ledger.

use super::{LIMIT, Ledger, LedgerError, PING_LIMIT, transact};
use crate::domain::{
    account::{Account, Session},
    caller::SessionId,
    ids::UserId,
    time::Timestamp,
};

/// A refresh token that somebody shows, of which it is known that it was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    pub session: SessionId,
    /// How many tokens of the session came before it.
    pub generation: i64,
    /// SHA-256 of its secret, and of its successor's.
    pub token_hash: [u8; 32],
    pub successor_hash: [u8; 32],
}

/// What becomes of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// It is replaced by its successor, or was a moment ago.
    Renewed(Box<(Account, Session)>),
    /// There is no such session any more, or its account may not sign in.
    Refused,
    /// It was replaced before: somebody has copied it, and its whole session was ended.
    Reused(SessionId),
}

impl Ledger {
    /// Takes a refresh token, once; whoever repeats that within thirty seconds gets the same.
    pub async fn refresh_session(
        &self,
        used: &TokenUse,
        now: Timestamp,
        request_id: Option<&str>,
    ) -> Result<Refreshed, LedgerError> {
        let (used, request_id) = (used.clone(), request_id.map(str::to_owned));
        Ok(transact!(self.write(LIMIT), sessions::refresh(&used, now, request_id.as_deref()))?)
    }

    /// Ends the session of a refresh token, or all of its account; returns the ids of those that it ended.
    pub async fn sign_out(&self, used: &TokenUse, everywhere: bool, now: Timestamp) -> Result<Vec<SessionId>, LedgerError> {
        let used = used.clone();
        Ok(transact!(self.write(LIMIT), sessions::sign_out(&used, everywhere, now))?)
    }

    /// An account's sessions, the newest first.
    pub async fn sessions(&self, account: &UserId, now: Timestamp) -> Result<Vec<Session>, LedgerError> {
        let account = account.clone();
        Ok(transact!(self.serve(LIMIT), sessions::of_account(&account, now))?)
    }

    /// Ends one session of an account; false if it has no such session.
    pub async fn end_session(&self, account: &UserId, id: SessionId, now: Timestamp) -> Result<bool, LedgerError> {
        let account = account.clone();
        Ok(transact!(self.write(LIMIT), sessions::end_one(&account, id, now))?)
    }

    /// The sessions that were ended after number `seq`, with their numbers and times, in that order. On PostgreSQL one statement
    /// on a connection that no reader can take: while this is not answered, no session is accepted.
    pub async fn ended_sessions(&self, seq: i64) -> Result<Vec<(i64, SessionId, Timestamp)>, LedgerError> {
        Ok(if self.is_shared() {
            transact!(self.statement(PING_LIMIT), sessions::ended_since(seq))?
        } else {
            transact!(self.read(PING_LIMIT), sessions::ended_since(seq))?
        })
    }
}
