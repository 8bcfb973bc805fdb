//! Who shows which credential: an API key, the access token of a session, or a JWT of others.

use std::sync::Arc;

use crate::domain::{
    api_key::{PREFIX, ShownKey},
    caller::{Credential, Principal},
};

use super::{api_keys::ApiKeys, error::ServiceError, sessions::Sessions, tokens::Tokens};

/// What is known of a credential that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Live,
    /// It is good, and may be good for less, or for more: as its holder is by now.
    Changed(Arc<Principal>),
    /// It may have been ended without this instance knowing.
    Unsure,
    Ended,
}

/// Accepts or refuses whatever follows `Bearer`.
pub struct Credentials {
    pub tokens: Tokens,
    pub keys: Arc<ApiKeys>,
    /// Where there are accounts.
    pub sessions: Option<Arc<Sessions>>,
}

impl Credentials {
    /// The holder of this credential; `None` if it takes [`Self::look_up`] to know.
    pub fn known(&self, bearer: &str) -> Result<Option<Arc<Principal>>, ServiceError> {
        match &self.sessions {
            _ if bearer.starts_with(PREFIX) => self.keys.known(&key(bearer)?),
            Some(sessions) if sessions.is_of_session(bearer) => sessions.verify(bearer).map(Some),
            _ => self.tokens.known(bearer),
        }
    }

    /// The holder of a credential that is not [`known`](Self::known) here.
    pub async fn look_up(&self, bearer: &str) -> Result<Arc<Principal>, ServiceError> {
        match bearer.starts_with(PREFIX) {
            true => self.keys.look_up(&key(bearer)?).await,
            false => self.tokens.look_up(bearer).await,
        }
    }

    /// What is known of the credential since it was accepted. A key ends by its deletion or rotation and can be changed, a session
    /// ends by whatever its account does; a JWT of others cannot be ended.
    pub fn standing(&self, principal: &Principal) -> Standing {
        match &principal.credential {
            Credential::Token => Standing::Live,
            Credential::Session(id) => self.sessions.as_ref().map_or(Standing::Ended, |sessions| sessions.standing(*id)),
            Credential::Key(key) => self.keys.standing(key, principal),
        }
    }

    /// The holder of a credential as it is by now, for a change by hand: the credential may have ended or been changed a moment ago,
    /// on another instance.
    pub async fn confirm(&self, principal: Arc<Principal>) -> Result<Arc<Principal>, ServiceError> {
        match &principal.credential {
            Credential::Token => {}
            Credential::Key(key) => return self.keys.present(key).await,
            Credential::Session(id) => {
                let ended = || ServiceError::InvalidToken("the session has ended".into());
                let sessions = self.sessions.as_ref().ok_or_else(ended)?;
                sessions.catch_up().await?;
                if sessions.standing(*id) == Standing::Ended {
                    return Err(ended());
                }
            }
        }
        Ok(principal)
    }
}

fn key(bearer: &str) -> Result<ShownKey<'_>, ServiceError> {
    ShownKey::parse(bearer).map_err(|malformed| ServiceError::InvalidToken(malformed.to_string().into()))
}
