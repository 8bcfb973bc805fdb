//! A cache of recently verified tokens. A game backend sends the same token with every score, and verifying its signature again
//! each time would cost more than the rest of the request.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use super::time_left;
use crate::domain::caller::Principal;

/// Tokens in the cache. When full, expired ones are evicted; if that makes no room, all are.
const CAPACITY: usize = 8192;

/// The holders of verified tokens, by the token's whole text: a token that differs in one character is another one. All were verified with the
/// keys of the same time, the number of changes of keys until then.
#[derive(Default)]
pub(super) struct Verified(RwLock<(u64, Holders)>);

type Holders = HashMap<Box<str>, Arc<Principal>>;

impl Verified {
    /// The holder, if the token was verified before with the keys of this time and has not expired since.
    pub fn get(&self, token: &str, keys: u64) -> Option<Arc<Principal>> {
        let known = self.0.read();
        known.1.get(token).filter(|principal| known.0 == keys && !time_left(principal).is_zero()).cloned()
    }

    /// Remembers a token that was verified with the keys of this time.
    pub fn remember(&self, token: &str, principal: &Arc<Principal>, keys: u64) {
        let mut known = self.0.write();
        if known.0 != keys {
            *known = (keys, HashMap::new());
        }
        let known = &mut known.1;
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
        verified.remember("good", &principal(u64::MAX / 2), 0);
        verified.remember("ended", &principal(1), 0);
        assert!(verified.get("good", 0).is_some() && verified.get("ended", 0).is_none() && verified.get("goo", 0).is_none());
    }

    #[test]
    fn what_was_verified_with_other_keys_is_not_known() {
        let verified = Verified::default();
        verified.remember("old", &principal(u64::MAX / 2), 0);
        assert!(verified.get("old", 1).is_none());
        verified.remember("new", &principal(u64::MAX / 2), 1);
        assert!(verified.get("old", 1).is_none() && verified.get("new", 1).is_some());
    }

    #[test]
    fn the_cache_never_exceeds_its_capacity() {
        let verified = Verified::default();
        for number in 0..CAPACITY + 10 {
            verified.remember(&number.to_string(), &principal(u64::MAX / 2), 0);
        }
        assert!(verified.0.read().1.len() <= CAPACITY);
        assert!(verified.get(&(CAPACITY + 9).to_string(), 0).is_some());
    }
}
