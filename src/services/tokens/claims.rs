//! The claims that decide, as foreign issuers write them.
//!
//! Scopes are in `scope` (RFC 9068) or `scp` (Azure AD, Okta), as one text with spaces or as a list. Each claim is accepted in
//! any shape and checked afterwards, so that a refusal can name the claim.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{
        api_key::SUBJECT as KEY_SUBJECT,
        caller::{Credential, Principal, Scope},
    },
    services::error::ServiceError,
};

use super::LEEWAY;

/// The longest subject in bytes: it is stored with every score.
const MAX_SUBJECT: usize = 512;
/// The latest expiry of a token, in seconds since 1970: the last year that has four digits. Later ones are treated as this one.
const LATEST: u64 = 253_402_300_799;

/// The claims of a token; `exp`, `iss` and `aud` are already checked.
#[derive(Debug, Deserialize)]
pub(super) struct Carried {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    scope: Value,
    #[serde(default)]
    scp: Value,
    #[serde(default)]
    exp: Value,
}

impl Carried {
    /// The holder of the token.
    pub fn principal(self) -> Result<Principal, ServiceError> {
        let refused = |why: &'static str| ServiceError::InvalidToken(why.into());
        let Value::String(subject) = self.sub else { return Err(refused("the token's claim sub is no text")) };
        if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.chars().any(char::is_control) {
            return Err(refused("the token's claim sub is empty, too long, or holds control characters"));
        }
        if subject.starts_with(KEY_SUBJECT) {
            return Err(refused("the token's claim sub begins with key:, which is reserved for API keys"));
        }
        if self.scope.is_null() && self.scp.is_null() {
            return Err(refused("the token lacks the claim scope (or scp)"));
        }
        let mut scopes = Vec::new();
        for (name, claim) in [("scope", &self.scope), ("scp", &self.scp)] {
            let known = known_scopes(claim);
            let wrong =
                || ServiceError::InvalidToken(format!("the token's claim {name} is neither a text nor a list of texts").into());
            scopes.extend(known.ok_or_else(wrong)?);
        }
        let expires = self.exp.as_f64().ok_or_else(|| refused("the token's claim exp is no number"))? as u64;
        Ok(Principal {
            subject: subject.into(),
            // Until its last second ends.
            expires: expires.min(LATEST) + LEEWAY + 1,
            scopes: scopes.into_iter().collect(),
            leaderboards: None,
            credential: Credential::Token,
        })
    }
}

/// The scopes that this server knows among those in a claim; `None` if the claim is neither a text nor a list of texts.
fn known_scopes(claim: &Value) -> Option<Vec<Scope>> {
    let in_text = |text: &str| text.split_ascii_whitespace().filter_map(Scope::named).collect::<Vec<_>>();
    match claim {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(in_text(text)),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(in_text)).collect();
            Some(texts?.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(claims: Value) -> Result<Principal, String> {
        serde_json::from_value::<Carried>(claims).unwrap().principal().map_err(|error| error.to_string())
    }

    #[test]
    fn scopes_come_in_either_claim_and_shape() {
        for claims in [
            json!({"sub": "a", "exp": 1, "scope": "x scores:write leaderboards:read"}),
            json!({"sub": "a", "exp": 1.5, "scope": ["scores:write", "leaderboards:read", "x"]}),
            json!({"sub": "a", "exp": 1, "scp": "scores:write leaderboards:read"}),
            json!({"sub": "a", "exp": 1, "scp": ["scores:write"], "scope": "leaderboards:read"}),
            json!({"sub": "a", "exp": 1, "scp": ["scores:write leaderboards:read"], "scope": null}),
        ] {
            let principal = of(claims.clone()).unwrap();
            assert!(principal.scopes.has(Scope::ScoresWrite) && principal.scopes.has(Scope::LeaderboardsRead), "{claims}");
            assert!(!principal.scopes.has(Scope::LeaderboardsAdmin) && !principal.scopes.has(Scope::ScoresSelf), "{claims}");
        }
    }

    #[test]
    fn a_refusal_names_the_claim() {
        for (claims, named) in [
            (json!({"sub": "a", "exp": 1}), "scope (or scp)"),
            (json!({"sub": "a", "exp": 1, "scope": 7}), "claim scope"),
            (json!({"sub": "a", "exp": 1, "scp": ["scores:write", 7]}), "claim scp"),
            (json!({"sub": 7, "exp": 1, "scope": ""}), "claim sub"),
            (json!({"sub": "", "exp": 1, "scope": ""}), "claim sub"),
            (json!({"sub": "key:ab12CD34ef", "exp": 1, "scope": ""}), "claim sub"),
        ] {
            assert!(of(claims.clone()).unwrap_err().contains(named), "{claims}");
        }
    }

    #[test]
    fn a_token_with_a_very_late_expiry_ends_some_day() {
        let principal = of(json!({"sub": "a", "exp": 1.8e19, "scope": ""})).unwrap();
        assert!(std::time::Instant::now().checked_add(crate::services::tokens::time_left(&principal)).is_some());
    }
}
