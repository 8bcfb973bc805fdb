//! Tokens: who is calling, and what they may do.
//!
//! JWT bearer tokens. The algorithm comes from the key, never from the token; `sub`, a scope and `exp` are required, `nbf` is
//! obeyed, `iss` and `aud` are checked where configured, and what `crit` names has to be known (nothing is).

mod claims;
mod key_set;
pub mod key_source;
mod keys;
mod verified;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail, ensure};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, errors::ErrorKind};
use serde::Serialize;

use crate::{
    config::{given, tokens::TokenSettings},
    domain::{
        api_key::SUBJECT as KEY_SUBJECT,
        caller::{Principal, Scope},
    },
};

pub(super) use self::keys::{MIN_SECRET, signing_secret};
use self::{
    claims::Carried,
    key_source::{Changes, KeySource},
    keys::Key,
    verified::Verified,
};
use super::error::ServiceError;

/// The greatest difference between two machines' clocks that is accepted, in seconds.
pub(super) const LEEWAY: u64 = 5;

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
    /// Keys that others publish.
    published: Vec<Arc<KeySource>>,
    /// How often those have changed.
    changes: Changes,
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
        let (changes, mut published) = (Changes::default(), Vec::new());
        if let Some(path) = settings.jwt_jwks_file.clone().filter(|path| !path.as_os_str().is_empty()) {
            let name = format!("JWT_JWKS_FILE {}", path.display());
            published.push(KeySource::file(path, Arc::clone(&changes)).context(name)?);
        }
        if let Some(url) = given(&settings.jwt_jwks_url) {
            published.push(KeySource::issuer(url, Arc::clone(&changes)).context("JWT_JWKS_URL")?);
        }
        if !published.is_empty() && (issuer.is_none() || audience.is_none()) {
            tracing::warn!(
                "JWT_JWKS_FILE or JWT_JWKS_URL without JWT_ISSUER and JWT_AUDIENCE: tokens that were made for others are accepted, too"
            );
        }
        Ok(Self { key, published, changes, issuer, audience, verified: Verified::default() })
    }

    /// Where keys that others publish come from: each has to be kept fresh.
    pub fn sources(&self) -> &[Arc<KeySource>] {
        &self.published
    }

    /// The holder of this token; `None` if it takes [`Self::look_up`] to know.
    pub fn known(&self, token: &str) -> Result<Option<Arc<Principal>>, ServiceError> {
        let keys = self.changes.load(Ordering::Acquire);
        if let Some(known) = self.verified.get(token, keys) {
            return Ok(Some(known));
        }
        let Some(principal) = self.check(token, self.published.iter().any(|source| source.can_be_asked()))? else {
            return Ok(None);
        };
        let principal = Arc::new(principal);
        self.verified.remember(token, &principal, keys);
        Ok(Some(principal))
    }

    /// The holder of a token whose key is not known here: whoever publishes keys may have a new one.
    pub async fn look_up(&self, token: &str) -> Result<Arc<Principal>, ServiceError> {
        for source in &self.published {
            source.ask().await;
        }
        let unknown = || ServiceError::Internal("a token that was looked up is still unknown".into());
        self.check(token, false)?.map(Arc::new).ok_or_else(unknown)
    }

    /// The holder; `None` if the token's key is not known, and somebody may publish it (`askable`).
    fn check(&self, token: &str, askable: bool) -> Result<Option<Principal>, ServiceError> {
        // Checked before the signature: an extension may change what is signed.
        let header = jsonwebtoken::decode_header(token).map_err(|error| self.refused(&error, self.key.algorithm))?;
        if let Some(named) = header.crit {
            let names = named.join(", ");
            return Err(ServiceError::InvalidToken(
                format!("the token's header crit asks for what is not known here: {names}").into(),
            ));
        }
        let kid = header.kid.as_deref();
        let mut own = None;
        if kid.is_none() {
            // Tokens that are issued here name no key.
            match self.signed(token, self.key.algorithm, &self.key.decoding) {
                Err(error) if is_foreign(&error) => own = Some((error, self.key.algorithm)),
                signed => return self.holder(signed, self.key.algorithm),
            }
        }
        // Several may publish a key of the same id.
        let mut last = None;
        for key in self.published.iter().filter_map(|source| source.find(kid)) {
            match self.signed(token, key.algorithm, &key.decoding) {
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => last = Some((error, key.algorithm)),
                signed => return self.holder(signed, key.algorithm),
            }
        }
        if let Some((error, algorithm)) = last.or(own) {
            return Err(self.refused(&error, algorithm));
        }
        match self.signed(token, self.key.algorithm, &self.key.decoding) {
            Err(error) if askable && is_foreign(&error) => Ok(None),
            signed => self.holder(signed, self.key.algorithm),
        }
    }

    fn signed(&self, token: &str, algorithm: Algorithm, key: &DecodingKey) -> jsonwebtoken::errors::Result<Carried> {
        let validation = validation(algorithm, self.issuer.as_deref(), self.audience.as_deref());
        jsonwebtoken::decode::<Carried>(token, key, &validation).map(|signed| signed.claims)
    }

    fn holder(
        &self,
        signed: jsonwebtoken::errors::Result<Carried>,
        algorithm: Algorithm,
    ) -> Result<Option<Principal>, ServiceError> {
        signed.map_err(|error| self.refused(&error, algorithm))?.principal().map(Some)
    }

    /// The refusal, naming the header or claim at fault.
    fn refused(&self, error: &jsonwebtoken::errors::Error, algorithm: Algorithm) -> ServiceError {
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
                format!("the token's header alg is not {algorithm:?}, the algorithm of the key, or its kid names no known key")
                    .into()
            }
            ErrorKind::InvalidSignature => "the token's signature does not fit the key".into(),
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

/// Whether the token may be signed with another key than the one that it was checked with.
fn is_foreign(error: &jsonwebtoken::errors::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm)
}

fn validation(algorithm: Algorithm, issuer: Option<&str>, audience: Option<&str>) -> Validation {
    let mut validation = Validation::new(algorithm);
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
