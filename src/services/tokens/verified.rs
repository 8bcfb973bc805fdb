//! Tokens that were verified lately. A game backend sends the same token with every score, and checking its signature again each time
//! would cost more than the rest of the request's way.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use super::time_left;
use crate::domain::caller::Principal;

/// Tokens that are remembered. When full, those that have ended are forgotten, and where that makes no room, all are.
const CAPACITY: usize = 8192;

/// The holders of verified tokens, by the token's whole text: a token that differs in one character is another one.
#[derive(Default)]
pub(super) struct Verified(RwLock<HashMap<Box<str>, Arc<Principal>>>);

impl Verified {
    /// The holder, where the token was verified before and has not ended since.
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
    use crate::domain::caller::Scopes;

    fn principal(expires: u64) -> Arc<Principal> {
        Arc::new(Principal { subject: "game".into(), expires, scopes: Scopes::default() })
    }

    #[test]
    fn a_token_that_has_ended_is_not_known_any_more() {
        let verified = Verified::default();
        verified.remember("good", &principal(u64::MAX / 2));
        verified.remember("ended", &principal(1));
        assert!(verified.get("good").is_some() && verified.get("ended").is_none() && verified.get("goo").is_none());
    }

    #[test]
    fn it_never_grows_beyond_its_capacity() {
        let verified = Verified::default();
        for number in 0..CAPACITY + 10 {
            verified.remember(&number.to_string(), &principal(u64::MAX / 2));
        }
        assert!(verified.0.read().len() <= CAPACITY);
        assert!(verified.get(&(CAPACITY + 9).to_string()).is_some());
    }
}
