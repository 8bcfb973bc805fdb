//! A cache of recently verified tokens. A game backend sends the same token with every score, and verifying its signature again
//! each time would cost more than the rest of the request.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use super::time_left;
use crate::domain::caller::Principal;

/// Tokens in the cache. When full, expired ones are evicted; if that makes no room, all are.
const CAPACITY: usize = 8192;

/// The holders of verified tokens, by the token's whole text: a token that differs in one character is another one.
#[derive(Default)]
pub(super) struct Verified(RwLock<HashMap<Box<str>, Arc<Principal>>>);

impl Verified {
    /// The holder, if the token was verified before and has not expired since.
    pub fn get(&self, token: &str) -> Option<Arc<Principal>> {
        self.0.read().get(token).filter(|principal| !time_left(principal).is_zero()).cloned()
    }

    pub fn remember(&self, token: &str, principal: &Arc<Principal>) {
        let mut known = self.0.write();
        if known.len() >= CAPACITY {
            known.retain(|_, principal| !time_left(principal).is_zero());
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(token.into(), Arc::clone(principal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::{Credential, Scopes};

    fn principal(expires: u64) -> Arc<Principal> {
        Arc::new(Principal {
            subject: "game".into(),
            expires,
            scopes: Scopes::default(),
            leaderboards: None,
            credential: Credential::Token,
        })
    }

    #[test]
    fn an_expired_token_is_no_longer_known() {
        let verified = Verified::default();
        verified.remember("good", &principal(u64::MAX / 2));
        verified.remember("ended", &principal(1));
        assert!(verified.get("good").is_some() && verified.get("ended").is_none() && verified.get("goo").is_none());
    }

    #[test]
    fn the_cache_never_exceeds_its_capacity() {
        let verified = Verified::default();
        for number in 0..CAPACITY + 10 {
            verified.remember(&number.to_string(), &principal(u64::MAX / 2));
        }
        assert!(verified.0.read().len() <= CAPACITY);
        assert!(verified.get(&(CAPACITY + 9).to_string()).is_some());
    }
}
