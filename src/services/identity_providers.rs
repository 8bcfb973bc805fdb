//! Identity providers whose ID tokens (OpenID Connect) sign players in: which ones there are, and whose token one is.
//!
//! A token is checked as OpenID Connect Core 1.0, section 3.1.3.7, says: signed by a key of the provider with an algorithm that is allowed for it, issued
//! by that provider, for one of our clients, not expired, and with the nonce that the client has chosen for it. An identity is the issuer and
//! its `sub`, and never an e-mail address, which can change hands.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::account::Identity;

use super::{
    error::ServiceError,
    tokens::{
        LEEWAY,
        key_source::{Changes, KeySource, read},
    },
};

/// How often the file is looked at: a change counts within five seconds.
const LOOK: Duration = Duration::from_secs(2);
/// The longest `sub`, in bytes (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT: usize = 255;

/// See the module's documentation.
pub struct IdentityProviders {
    path: PathBuf,
    known: ArcSwap<Known>,
}

struct Known {
    text: Vec<u8>,
    providers: HashMap<String, Provider>,
}

struct Provider {
    issuer: String,
    client_ids: Vec<String>,
    algorithms: Vec<Algorithm>,
    keys: Arc<KeySource>,
}

/// A provider as it stands in the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    id: String,
    issuer: String,
    client_ids: Vec<String>,
    jwks_url: String,
    algorithms: Vec<Algorithm>,
}

/// The claims that are looked at beside those that every token has.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    azp: Option<String>,
}

impl IdentityProviders {
    /// Reads the file; an error if it cannot be used.
    pub fn load(path: PathBuf) -> anyhow::Result<Arc<Self>> {
        let known = Known::parse(read(&path)?, &HashMap::new())?;
        Ok(Arc::new(Self { path, known: ArcSwap::from_pointee(known) }))
    }

    /// Whose ID token this is. A key that is not known is a reason to ask the provider.
    pub async fn verify(&self, provider: &str, token: &str, nonce: &str) -> Result<Identity, ServiceError> {
        let known = self.known.load_full();
        let unknown = || ServiceError::invalid("provider", "unknown", "there is no such identity provider");
        known.providers.get(provider).ok_or_else(unknown)?.verify(token, nonce).await
    }

    /// Follows changes of the file and of the providers' keys, for as long as it is polled.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let (path, known) = (self.path.clone(), self.known.load_full());
            if let Ok(Ok(text)) = tokio::task::spawn_blocking(move || read(&path)).await
                && text != known.text
            {
                match Known::parse(text, &known.providers) {
                    Ok(changed) => self.known.store(Arc::new(changed)),
                    Err(error) => tracing::warn!(
                        error = format!("{error:#}"),
                        "OIDC_PROVIDERS_FILE is not understood: the providers known before stay"
                    ),
                }
            }
            for provider in self.known.load_full().providers.values() {
                provider.keys.renew().await;
            }
        }
    }
}

impl Known {
    /// Keys that are known already stay where the address is the same.
    fn parse(text: Vec<u8>, before: &HashMap<String, Provider>) -> anyhow::Result<Self> {
        let listed: Vec<Listed> = serde_json::from_slice(&text).context("it is no list of providers")?;
        let mut providers = HashMap::new();
        for Listed { id, issuer, client_ids, jwks_url, algorithms } in listed {
            ensure!(!id.is_empty() && !issuer.is_empty(), "a provider needs an id and an issuer");
            ensure!(!client_ids.is_empty(), "provider {id} needs clientIds: a token for other clients proves nothing here");
            let symmetric = |algorithm: &Algorithm| matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
            ensure!(!algorithms.is_empty() && !algorithms.iter().any(symmetric), "provider {id} needs asymmetric algorithms");
            let kept = before.values().find(|known| known.keys.is_at(&jwks_url)).map(|known| Arc::clone(&known.keys));
            let keys = match kept {
                Some(keys) => keys,
                None => KeySource::issuer(&jwks_url, Changes::default()).with_context(|| format!("jwksUrl of provider {id}"))?,
            };
            let provider = Provider { issuer, client_ids, algorithms, keys };
            ensure!(providers.insert(id.clone(), provider).is_none(), "there are two providers {id}");
        }
        Ok(Self { text, providers })
    }
}

impl Provider {
    async fn verify(&self, token: &str, nonce: &str) -> Result<Identity, ServiceError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused("it is no JWT"))?;
        if header.crit.is_some() {
            return Err(refused("its header crit asks for what is not known here"));
        }
        let kid = header.kid.as_deref();
        let mut key = self.keys.find(kid);
        if key.is_none() {
            self.keys.ask().await;
            key = self.keys.find(kid);
        }
        let key = key.ok_or_else(|| refused("its kid names no key of the provider"))?;
        if !self.algorithms.contains(&key.algorithm) {
            return Err(refused("the algorithm of its key is not allowed for the provider"));
        }
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.client_ids);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
        let claims = claims.map_err(|error| refused(&format!("it is not valid here: {error}")))?.claims;
        self.check(&claims, nonce)?;
        Ok(Identity { issuer: self.issuer.clone(), subject: claims.sub })
    }

    fn check(&self, claims: &Claims, nonce: &str) -> Result<(), ServiceError> {
        let is = |claimed: &str| aws_lc_rs::constant_time::verify_slices_are_equal(claimed.as_bytes(), nonce.as_bytes()).is_ok();
        if nonce.is_empty() || !claims.nonce.as_deref().is_some_and(is) {
            return Err(refused("its nonce is not the one given"));
        }
        // A token for several recipients says which of them asked for it.
        let several = claims.aud.as_array().is_some_and(|audience| audience.len() > 1);
        let ours = claims.azp.as_ref().map_or(!several, |azp| self.client_ids.contains(azp));
        if !ours {
            return Err(refused("it was issued to another client"));
        }
        if claims.sub.is_empty() || claims.sub.len() > MAX_SUBJECT || claims.sub.contains(char::is_control) {
            return Err(refused("its sub is empty or too long, or has control characters"));
        }
        Ok(())
    }
}

fn refused(why: &str) -> ServiceError {
    ServiceError::InvalidToken(format!("the ID token is not accepted: {why}").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(change: impl FnOnce(&mut Value)) -> anyhow::Result<Known> {
        let mut listed = json!([{
            "id": "studio", "issuer": "https://id.example.com", "clientIds": ["game"], "jwksUrl": "https://id.example.com/keys",
            "algorithms": ["RS256", "ES256"],
        }]);
        change(&mut listed[0]);
        Known::parse(listed.to_string().into_bytes(), &HashMap::new())
    }

    #[test]
    fn a_provider_that_would_prove_nothing_is_refused() {
        assert!(parse(|_| {}).is_ok());
        for (field, value) in [
            ("clientIds", json!([])),
            ("algorithms", json!([])),
            ("algorithms", json!(["HS256"])),
            ("algorithms", json!(["none"])),
            ("jwksUrl", json!("http://id.example.com/keys")),
            ("issuer", json!("")),
            ("secret", json!("s")),
        ] {
            assert!(parse(|provider| provider[field] = value.clone()).is_err(), "{field} {value}");
        }
    }

    #[test]
    fn the_nonce_and_the_recipient_have_to_be_ours() {
        let known = parse(|_| {}).unwrap();
        let check =
            |claims: Value, nonce: &str| known.providers["studio"].check(&serde_json::from_value(claims).unwrap(), nonce).is_ok();
        let good = json!({ "sub": "1", "nonce": "n", "aud": "game" });
        assert!(check(good.clone(), "n") && !check(good, "m") && !check(json!({ "sub": "1", "aud": "game" }), ""));
        assert!(!check(json!({ "sub": "1", "nonce": "n", "aud": ["game", "other"] }), "n"));
        assert!(check(json!({ "sub": "1", "nonce": "n", "aud": ["game", "other"], "azp": "game" }), "n"));
        assert!(!check(json!({ "sub": "1", "nonce": "n", "aud": "game", "azp": "other" }), "n"));
        for sub in ["", "a\0b", &"x".repeat(256)] {
            assert!(!check(json!({ "sub": sub, "nonce": "n", "aud": "game" }), "n"), "{sub:?}");
        }
    }
}
