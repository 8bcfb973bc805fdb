//! Tokens: who is calling, and what they may do.
//!
//! JWT bearer tokens. The algorithm comes from the configured key, never from the token; `sub`, `scope` and `exp` are required, `nbf` is
//! obeyed, `iss` and `aud` are checked where configured.

mod verified;

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::config::{given, tokens::TokenSettings};

use self::verified::Verified;
use super::error::ServiceError;

/// Bytes an HS256 secret has at least: fewer than the hash has can be guessed.
const MIN_SECRET: usize = 32;
/// Bytes of a subject at the most: it is stored with every score.
const MAX_SUBJECT: usize = 512;
/// Seconds that two machines' clocks may differ.
const LEEWAY: u64 = 5;
/// The name of the generated secret in `DATA_DIR`.
const SECRET_FILE: &str = "jwt-secret";

/// What a token may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Submit scores for any user.
    ScoresWrite,
    /// Submit one's own scores by self-service actions.
    ScoresSelf,
    /// Read private leaderboards.
    LeaderboardsRead,
    /// Manage leaderboards, actions and users.
    LeaderboardsAdmin,
}

impl Scope {
    const ALL: [Self; 4] = [Self::ScoresWrite, Self::ScoresSelf, Self::LeaderboardsRead, Self::LeaderboardsAdmin];

    /// The name inside the token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScoresWrite => "scores:write",
            Self::ScoresSelf => "scores:self",
            Self::LeaderboardsRead => "leaderboards:read",
            Self::LeaderboardsAdmin => "leaderboards:admin",
        }
    }
}

/// Whoever holds a valid token.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    pub subject: Arc<str>,
    /// When the token ends, in seconds since 1970.
    pub expires: u64,
    scopes: Scopes,
}

/// A set of scopes, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Scopes(u8);

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

impl Principal {
    /// How long the token is still good for.
    pub fn time_left(&self) -> Duration {
        Duration::from_secs((self.expires + LEEWAY).saturating_sub(jsonwebtoken::get_current_timestamp()))
    }

    /// Whether the token carries this scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.0 & 1 << scope as u8 != 0
    }

    /// Refuses a token that carries none of these scopes.
    pub fn require_any(&self, scopes: &[Scope]) -> Result<(), ServiceError> {
        if scopes.iter().any(|&scope| self.has(scope)) {
            return Ok(());
        }
        let names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        Err(ServiceError::Forbidden(format!("the token lacks scope {}", names.join(" or "))))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    scope: String,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
}

/// The claims that decide, as they come in; `aud` was checked by then and may have any shape.
#[derive(Debug, Deserialize)]
struct Carried {
    sub: String,
    scope: String,
    exp: f64,
}

/// Checks tokens, and makes them where the key is a secret of ours.
pub struct Tokens {
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
    encoding: Option<EncodingKey>,
    issuer: Option<String>,
    audience: Option<String>,
    verified: Verified,
}

impl Tokens {
    /// Takes the key from the settings, or makes and keeps a random secret in `data_dir`.
    pub fn configure(settings: &TokenSettings, data_dir: &Path) -> anyhow::Result<Self> {
        let public_key = settings.jwt_public_key_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        let (algorithm, decoding, encoding) = match (public_key, given(&settings.jwt_secret)) {
            (Some(_), Some(_)) => bail!("set JWT_SECRET or JWT_PUBLIC_KEY_FILE, not both"),
            (Some(path), None) => {
                let pem = fs::read(path).with_context(|| format!("JWT_PUBLIC_KEY_FILE {} cannot be read", path.display()))?;
                let (algorithm, key) =
                    public_key_from(&pem).with_context(|| format!("JWT_PUBLIC_KEY_FILE {}", path.display()))?;
                (algorithm, key, None)
            }
            (None, secret) => {
                let secret = match secret {
                    Some(secret) => secret.as_bytes().to_vec(),
                    None => kept_secret(data_dir)?,
                };
                ensure!(secret.len() >= MIN_SECRET, "JWT_SECRET has {} bytes; it needs {MIN_SECRET} at least", secret.len());
                (Algorithm::HS256, DecodingKey::from_secret(&secret), Some(EncodingKey::from_secret(&secret)))
            }
        };
        let issuer = given(&settings.jwt_issuer).map(str::to_owned);
        let audience = given(&settings.jwt_audience).map(str::to_owned);
        let validation = validation(algorithm, issuer.as_deref(), audience.as_deref());
        Ok(Self { algorithm, decoding, validation, encoding, issuer, audience, verified: Verified::default() })
    }

    /// Who holds this token.
    pub fn verify(&self, token: &str) -> Result<Arc<Principal>, ServiceError> {
        if let Some(known) = self.verified.get(token) {
            return Ok(known);
        }
        let principal = Arc::new(self.check(token)?);
        self.verified.remember(token, &principal);
        Ok(principal)
    }

    fn check(&self, token: &str) -> Result<Principal, ServiceError> {
        use jsonwebtoken::errors::ErrorKind;
        let claims = jsonwebtoken::decode::<Carried>(token, &self.decoding, &self.validation).map_err(|error| {
            ServiceError::InvalidToken(match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired",
                ErrorKind::ImmatureSignature => "the token is not valid yet",
                ErrorKind::InvalidIssuer => "the token's iss is not the expected one",
                ErrorKind::InvalidAudience => "the token's aud is not the expected one",
                ErrorKind::MissingRequiredClaim(_) => "the token lacks a required claim",
                _ => "the token is not valid",
            })
        })?;
        let Carried { sub, scope, exp } = claims.claims;
        if sub.is_empty() || sub.len() > MAX_SUBJECT || sub.chars().any(char::is_control) {
            return Err(ServiceError::InvalidToken("the token's sub is empty, too long, or holds control characters"));
        }
        let scopes = scope.split_ascii_whitespace();
        let scopes = scopes.filter_map(|name| Scope::ALL.into_iter().find(|scope| scope.as_str() == name)).collect();
        Ok(Principal { subject: sub.into(), expires: exp as u64, scopes })
    }

    /// A token for `sub` that ends `ttl_seconds` from now. Scopes are checked for typing errors.
    pub fn issue(&self, sub: &str, scope: &str, ttl_seconds: u64) -> anyhow::Result<String> {
        let Some(key) = &self.encoding else {
            bail!("tokens are checked with JWT_PUBLIC_KEY_FILE here: only whoever holds the private key can make one")
        };
        ensure!(!sub.is_empty(), "a token needs a subject");
        for name in scope.split_ascii_whitespace() {
            let known = Scope::ALL.map(Scope::as_str);
            ensure!(known.contains(&name), "unknown scope {name}; there are {}", known.join(", "));
        }
        let exp = jsonwebtoken::get_current_timestamp() + ttl_seconds;
        let claims =
            Claims { sub: sub.to_owned(), scope: scope.to_owned(), exp, iss: self.issuer.clone(), aud: self.audience.clone() };
        Ok(jsonwebtoken::encode(&Header::new(self.algorithm), &claims, key)?)
    }
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

/// The key in a PEM file, and the one algorithm that goes with its kind.
fn public_key_from(pem: &[u8]) -> anyhow::Result<(Algorithm, DecodingKey)> {
    ensure!(!String::from_utf8_lossy(pem).contains("PRIVATE KEY"), "this is a private key; the server needs the public one");
    DecodingKey::from_rsa_pem(pem)
        .map(|key| (Algorithm::RS256, key))
        .or_else(|_| DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key)))
        .or_else(|_| DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key)))
        .map_err(|_| anyhow::anyhow!("no RSA, P-256 or Ed25519 public key in PEM form"))
}

/// The secret in the data directory, made at the first start: 32 random bytes, readable by this user alone.
fn kept_secret(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let path = data_dir.join(SECRET_FILE);
    if let Ok(secret) = fs::read(&path) {
        return Ok(secret.trim_ascii().to_vec());
    }
    fs::create_dir_all(data_dir).with_context(|| format!("DATA_DIR {} cannot be made", data_dir.display()))?;
    let mut random = [0; 32];
    random[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    random[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let secret = URL_SAFE_NO_PAD.encode(random);
    // Written whole under another name first: two processes that start at once must end up with the same secret.
    let draft = data_dir.join(format!("{SECRET_FILE}.{}", uuid::Uuid::new_v4().simple()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft).ok();
    match linked {
        Ok(()) => Ok(secret.into_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(fs::read(&path)?.trim_ascii().to_vec()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be written", path.display())),
    }
}
