//! Refresh tokens and the sessions that they belong to, for their holders.

use super::{Accounts, Client, Opened, ServiceError, holder};
use crate::{
    domain::{
        account::Session,
        caller::{Caller, SessionId},
        ids::Noun,
    },
    repositories::ledger::Refreshed,
};

impl Accounts {
    /// The successor of a refresh token, and a new access token.
    pub async fn refresh(&self, client: &Client, text: &str) -> Result<Opened, ServiceError> {
        let refused = || ServiceError::InvalidToken("the refresh token is not good, or not any more: sign in again".into());
        let token = self.keys.token(text).ok_or_else(refused)?;
        let used = self.keys.used(&token);
        let refreshed = self.ledger.refresh_session(&used, self.clock.now(), Some(&client.request_id)).await?;
        crate::failpoints::failpoint!("session-refreshed", ServiceError::LedgerAway);
        match refreshed {
            Refreshed::Renewed(renewed) => self.opened(&renewed.0, &renewed.1, &self.keys.successor(&token)),
            Refreshed::Refused => Err(refused()),
            Refreshed::Reused(session) => {
                metrics::counter!("scoreboard_sessions_reused_total").increment(1);
                tracing::warn!(%session, "a refresh token was used again: its session was ended");
                self.learn_of_ends().await;
                Err(refused())
            }
        }
    }

    /// Ends the session of a refresh token, or all of its account. One that has ended already is no error.
    pub async fn sign_out(&self, text: &str, everywhere: bool) -> Result<(), ServiceError> {
        let token = self.keys.token(text);
        let token = token.ok_or_else(|| ServiceError::InvalidToken("the refresh token was not made here".into()))?;
        let ended = self.ledger.sign_out(&self.keys.used(&token), everywhere, self.clock.now()).await?;
        if !ended.is_empty() {
            self.learn_of_ends().await;
        }
        Ok(())
    }

    /// The caller's sessions, the newest first.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<Session>, ServiceError> {
        let holder = holder(caller)?;
        let _turn = self.turns.next().await?;
        Ok(self.ledger.sessions(&holder.account, self.clock.now()).await?)
    }

    /// Ends one of the caller's sessions.
    pub async fn end_session(&self, caller: &Caller, id: SessionId) -> Result<(), ServiceError> {
        let holder = holder(caller)?;
        if !self.ledger.end_session(&holder.account, id, self.clock.now()).await? {
            return Err(ServiceError::NotFound(Noun::Session));
        }
        self.learn_of_ends().await;
        Ok(())
    }

    /// What this instance has just ended it refuses at once; the others learn of it when they read on.
    pub(super) async fn learn_of_ends(&self) {
        if let Err(error) = self.sessions.catch_up().await {
            tracing::debug!(%error, "the list of ended sessions could not be read");
        }
    }
}
