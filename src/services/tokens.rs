//! Tokens: who is calling, and what they may do.
//!
//! JWT bearer tokens. The algorithm comes from the configured key, never from the token; `sub`, a scope and `exp` are required, `nbf` is
//! obeyed, `iss` and `aud` are checked where configured, and what `crit` names has to be known (nothing is).

mod claims;
mod keys;
mod verified;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{bail, ensure};
use jsonwebtoken::{Header, Validation};
use serde::Serialize;

use crate::{
    config::{given, tokens::TokenSettings},
    domain::{
        api_key::SUBJECT as KEY_SUBJECT,
        caller::{Principal, Scope},
    },
};

pub(super) use self::keys::{MIN_SECRET, signing_secret};
use self::{claims::Carried, keys::Key, verified::Verified};
use super::error::ServiceError;

/// The greatest difference between two machines' clocks that is accepted, in seconds.
const LEEWAY: u64 = 5;

/// How long the credential is still accepted.
pub fn time_left(principal: &Principal) -> Duration {
    Duration::from_secs(principal.expires).saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The claims of the tokens that are issued here.
#[derive(Debug, Serialize)]
struct Claims {
    sub: String,
    scope: String,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
}

/// Verifies tokens, and issues them if the key is a secret of ours.
pub struct Tokens {
    key: Key,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
    verified: Verified,
}

impl Tokens {
    /// Takes the key from the settings, or generates a random secret and stores it in `data_dir`.
    pub fn configure(settings: &TokenSettings, data_dir: &Path) -> anyhow::Result<Self> {
        let key = Key::configure(settings, data_dir)?;
        let issuer = given(&settings.jwt_issuer).map(str::to_owned);
        let audience = given(&settings.jwt_audience).map(str::to_owned);
        let validation = validation(&key, issuer.as_deref(), audience.as_deref());
        Ok(Self { key, validation, issuer, audience, verified: Verified::default() })
    }

    /// The holder of this token.
    pub fn verify(&self, token: &str) -> Result<Arc<Principal>, ServiceError> {
        if let Some(known) = self.verified.get(token) {
            return Ok(known);
        }
        let principal = Arc::new(self.check(token)?);
        self.verified.remember(token, &principal);
        Ok(principal)
    }

    fn check(&self, token: &str) -> Result<Principal, ServiceError> {
        // Checked before the signature: an extension may change what is signed.
        let header = jsonwebtoken::decode_header(token).map_err(|error| self.refused(&error))?;
        if let Some(named) = header.crit {
            let names = named.join(", ");
            return Err(ServiceError::InvalidToken(
                format!("the token's header crit asks for what is not known here: {names}").into(),
            ));
        }
        let claims = jsonwebtoken::decode::<Carried>(token, &self.key.decoding, &self.validation);
        claims.map_err(|error| self.refused(&error))?.claims.principal()
    }

    /// The refusal, naming the header or claim at fault.
    fn refused(&self, error: &jsonwebtoken::errors::Error) -> ServiceError {
        use jsonwebtoken::errors::ErrorKind;
        ServiceError::InvalidToken(match error.kind() {
            ErrorKind::ExpiredSignature => "the token has expired (exp)".into(),
            ErrorKind::ImmatureSignature => "the token is not valid yet (nbf)".into(),
            ErrorKind::InvalidIssuer => "the token's iss is not the expected one".into(),
            ErrorKind::InvalidAudience => "the token's aud is not the expected one".into(),
            ErrorKind::MissingRequiredClaim(name) => {
                format!("the token lacks the claim {name}, or it is of the wrong type").into()
            }
            ErrorKind::InvalidClaimFormat(name) => format!("the token's claim {name} is of the wrong type").into(),
            ErrorKind::InvalidAlgorithm => {
                format!("the token's header alg is not {:?}, the algorithm of the configured key", self.key.algorithm).into()
            }
            ErrorKind::InvalidSignature => "the token's signature does not fit the configured key".into(),
            _ => "what Authorization carries is not a JWT".into(),
        })
    }

    /// A token for `sub` that expires `ttl_seconds` from now. Scopes are checked for typing errors.
    pub fn issue(&self, sub: &str, scope: &str, ttl_seconds: u64) -> anyhow::Result<String> {
        let Some(key) = &self.key.encoding else {
            bail!("tokens are checked with JWT_PUBLIC_KEY_FILE here: only whoever holds the private key can make one")
        };
        ensure!(!sub.is_empty(), "a token needs a subject");
        ensure!(!sub.starts_with(KEY_SUBJECT), "subjects that begin with {KEY_SUBJECT} are those of API keys");
        for name in scope.split_ascii_whitespace() {
            let known = Scope::ALL.map(Scope::as_str).join(", ");
            ensure!(Scope::named(name).is_some(), "unknown scope {name}; there are {known}");
        }
        let exp = jsonwebtoken::get_current_timestamp() + ttl_seconds;
        let claims =
            Claims { sub: sub.to_owned(), scope: scope.to_owned(), exp, iss: self.issuer.clone(), aud: self.audience.clone() };
        Ok(jsonwebtoken::encode(&Header::new(self.key.algorithm), &claims, key)?)
    }
}

fn validation(key: &Key, issuer: Option<&str>, audience: Option<&str>) -> Validation {
    let mut validation = Validation::new(key.algorithm);
    let mut required = vec!["exp", "sub"];
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    match audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}
