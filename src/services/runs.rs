//! Runs: a player begins one and gets a token that tells when, for whom and of which action. The server signs it and stores
//! nothing: any instance accepts it. Submitting its score uses it up, as an idempotency key does.
//!
//! A token proves time and single use, and no honesty: whoever reads the game's traffic may begin a run and let time pass.

use std::sync::Arc;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::domain::{
    caller::{Caller, Permission},
    ids::{ActionId, Noun, UserId},
    leaderboard::Visibility,
    time::{Clock, Timestamp},
};

use super::{definitions::DefinitionCache, error::ServiceError, secrets::RootSecret};

/// What the key is derived under. Another form of tokens needs another one.
const LABEL: &str = "run tokens 1";
/// Bytes of a token: which run it is, when it began, and the signature.
const ID: usize = 16;
const TIME: usize = 8;
const SIGNATURE: usize = 32;

/// Signs run tokens and verifies them, if there is a secret to do so.
pub struct RunTokens(Option<hmac::Key>);

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The idempotency key that it is. It has a space in it, so no client makes one like it.
    pub key: String,
    pub began: Timestamp,
}

impl RunTokens {
    pub fn new(root: Option<&RootSecret>) -> Self {
        Self(root.map(|root| hmac::Key::new(HMAC_SHA256, &root.derive(LABEL))))
    }

    /// An error where there is no secret.
    pub fn available(&self) -> Result<(), ServiceError> {
        self.key().map(drop)
    }

    fn key(&self) -> Result<&hmac::Key, ServiceError> {
        self.0.as_ref().ok_or(ServiceError::RunsUnavailable)
    }

    fn issue(&self, user: &UserId, action: &ActionId, began: Timestamp) -> Result<String, ServiceError> {
        let id = *Uuid::new_v4().as_bytes();
        let began = began.0.to_be_bytes();
        let signature = hmac::sign(self.key()?, &signed(&id, &began, user, action));
        Ok(URL_SAFE_NO_PAD.encode([&id[..], &began, signature.as_ref()].concat()))
    }

    /// What the token says, if it was signed for this user and action.
    pub fn open(&self, token: &str, user: &UserId, action: &ActionId) -> Result<Run, ServiceError> {
        let invalid = || ServiceError::run("run-invalid", "is no run token of this user and this action");
        let key = self.key()?;
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let bytes: [u8; ID + TIME + SIGNATURE] = bytes.try_into().map_err(|_| invalid())?;
        let (id, rest) = bytes.split_at(ID);
        let (began, signature) = rest.split_at(TIME);
        // In constant time.
        hmac::verify(key, &signed(id, began, user, action), signature).map_err(|_| invalid())?;
        let began = i64::from_be_bytes(began.try_into().map_err(|_| invalid())?);
        Ok(Run { key: format!("run {}", URL_SAFE_NO_PAD.encode(id)), began: Timestamp(began) })
    }
}

/// What is signed. The user's length is part of it, or the end of a user id could pass for the beginning of an action's.
fn signed(id: &[u8], began: &[u8], user: &UserId, action: &ActionId) -> Vec<u8> {
    let (user, action) = (user.as_str().as_bytes(), action.as_str().as_bytes());
    [id, began, &(user.len() as u64).to_be_bytes(), user, action].concat()
}

/// See the module's documentation.
pub struct Runs {
    pub tokens: Arc<RunTokens>,
    pub definitions: Arc<DefinitionCache>,
    pub clock: Clock,
}

/// A run that has begun.
#[derive(Debug)]
pub struct Begun {
    pub token: String,
    /// From when on its score is refused.
    pub expires_at: Timestamp,
}

impl Runs {
    /// Begins a run of the caller.
    pub async fn begin(&self, caller: &Caller, action: &ActionId) -> Result<Begun, ServiceError> {
        caller.authorize(Permission::BeginRuns)?;
        let subject = caller.subject().ok_or(ServiceError::Unauthenticated)?;
        let user = UserId::parse_new(&subject)
            .map_err(|error| ServiceError::Forbidden(format!("the token's sub is no userId: it {}", error.0)))?;
        let unknown = || ServiceError::invalid("actionId", "unknown", "there is no such action");
        let found = self.definitions.find(|definitions| definitions.action(action.as_str()).cloned(), true, Noun::Action).await;
        let found = found.map_err(|error| if matches!(error, ServiceError::NotFound(_)) { unknown() } else { error })?;
        let definitions = self.definitions.current();
        let fed = found.settings.leaderboards.iter().filter_map(|id| definitions.leaderboard(id.as_str()));
        // As for submissions: whoever may not know about private leaderboards must not learn of actions that feed only those.
        if !found.settings.self_service && !fed.into_iter().any(|board| board.settings.visibility == Visibility::Public) {
            return Err(unknown());
        }
        if !found.settings.enabled {
            return Err(ServiceError::Conflict("this action is disabled".into()));
        }
        let Some(rule) = found.settings.run else {
            return Err(ServiceError::invalid("actionId", "no-run", "this action is not one of runs"));
        };
        let began = self.clock.now();
        Ok(Begun { token: self.tokens.issue(&user, action, began)?, expires_at: began.plus_seconds(rule.max_seconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn tokens(secret: &str) -> RunTokens {
        let settings = Settings::from_flags([format!("--session-secret={secret}")]).unwrap();
        RunTokens::new(RootSecret::configure(&settings.tokens, std::path::Path::new("nowhere")).unwrap().as_ref())
    }

    fn named(user: &str, action: &str) -> (UserId, ActionId) {
        (UserId::parse(user).unwrap(), ActionId::parse(action).unwrap())
    }

    #[test]
    fn a_token_is_of_one_user_one_action_and_one_secret() {
        let (ours, others) = (tokens("a secret of more than 32 bytes, ours"), tokens("a secret of more than 32 bytes, others'"));
        let (ann, race) = named("ann", "race");
        let token = ours.issue(&ann, &race, Timestamp(7)).unwrap();
        let run = ours.open(&token, &ann, &race).unwrap();
        assert_eq!(run.began, Timestamp(7));
        assert!(run.key.len() <= 128 && run.key.contains(' '));
        assert_ne!(ours.open(&ours.issue(&ann, &race, Timestamp(7)).unwrap(), &ann, &race).unwrap().key, run.key);
        for (user, action) in [("anne", "race"), ("ann", "race2"), ("annr", "ace"), ("an", "nrace")] {
            let (user, action) = named(user, action);
            assert!(ours.open(&token, &user, &action).is_err(), "{user} {action}");
        }
        assert!(others.open(&token, &ann, &race).is_err());
        assert!(RunTokens::new(None).open(&token, &ann, &race).is_err());
        for end in 0..token.len() {
            assert!(ours.open(&token[..end], &ann, &race).is_err(), "{end}");
            let mut forged = token.clone().into_bytes();
            forged[end] = if forged[end] == b'A' { b'B' } else { b'A' };
            assert!(ours.open(&String::from_utf8(forged).unwrap(), &ann, &race).is_err(), "{end}");
        }
        assert!(ours.open(&format!("{token}A"), &ann, &race).is_err());
    }
}
