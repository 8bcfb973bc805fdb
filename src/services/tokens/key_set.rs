//! A set of public keys as an issuer publishes it (JWKS, RFC 7517).
//!
//! Each key has one algorithm: its own `alg`, or the usual one for its kind. Which key checks a token is decided by `kid`, and never what the token
//! says about its algorithm. A key that is symmetric, weak, or meant for another purpose is left out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys that are read of a set.
const MOST: usize = 100;
/// Bytes of an RSA modulus: a shorter key can be broken, and longer ones are not supported.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key that tokens are checked with, and its one algorithm.
#[derive(Clone)]
pub struct PublishedKey {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
    kid: Option<String>,
}

/// The keys of an issuer that can be used here.
#[derive(Default)]
pub struct KeySet(Vec<PublishedKey>);

impl KeySet {
    /// Reads a set. Keys that cannot be used here are left out; an error if it is no set at all.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Published {
            keys: Vec<Value>,
        }
        let published: Published =
            serde_json::from_slice(json).map_err(|error| format!("it is no set of keys (JWKS): {error}"))?;
        if published.keys.len() > MOST {
            return Err(format!("it holds more than {MOST} keys"));
        }
        let usable = published.keys.into_iter().filter_map(|key| match usable(key) {
            Ok(key) => Some(key),
            Err(why) => {
                tracing::debug!(why, "a published key is left out");
                None
            }
        });
        Ok(Self(usable.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of this id. A token that names none is checked with the only key there is.
    pub fn find(&self, kid: Option<&str>) -> Option<&PublishedKey> {
        match (kid, self.0.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

fn usable(key: Value) -> Result<PublishedKey, String> {
    let key: Jwk = serde_json::from_value(key).map_err(|error| error.to_string())?;
    let common = &key.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("it is not for signatures".into());
    }
    if common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
        return Err("it is not for verifying".into());
    }
    let algorithm = algorithm(&key)?;
    let decoding = DecodingKey::from_jwk(&key).map_err(|error| error.to_string())?;
    Ok(PublishedKey { algorithm, decoding, kid: key.common.key_id })
}

fn algorithm(key: &Jwk) -> Result<Algorithm, String> {
    use Algorithm as A;
    let own = key.common.key_algorithm;
    let fitting = |known: &[(KeyAlgorithm, A)]| {
        let Some(own) = own else { return Ok(known[0].1) };
        let found = known.iter().find(|(name, _)| *name == own).map(|(_, algorithm)| *algorithm);
        found.ok_or_else(|| format!("the algorithm {own:?} is not supported for it"))
    };
    match &key.algorithm {
        AlgorithmParameters::RSA(parameters) => {
            let modulus = URL_SAFE_NO_PAD.decode(&parameters.n).map_err(|error| error.to_string())?;
            let length = modulus.iter().skip_while(|&&byte| byte == 0).count();
            if !MODULUS.contains(&length) {
                return Err(format!("an RSA key of {} bits", length * 8));
            }
            fitting(&[
                (KeyAlgorithm::RS256, A::RS256),
                (KeyAlgorithm::RS384, A::RS384),
                (KeyAlgorithm::RS512, A::RS512),
                (KeyAlgorithm::PS256, A::PS256),
                (KeyAlgorithm::PS384, A::PS384),
                (KeyAlgorithm::PS512, A::PS512),
            ])
        }
        AlgorithmParameters::EllipticCurve(parameters) if parameters.curve == EllipticCurve::P256 => {
            fitting(&[(KeyAlgorithm::ES256, A::ES256)])
        }
        AlgorithmParameters::EllipticCurve(parameters) if parameters.curve == EllipticCurve::P384 => {
            fitting(&[(KeyAlgorithm::ES384, A::ES384)])
        }
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => {
            fitting(&[(KeyAlgorithm::EdDSA, A::EdDSA)])
        }
        // A published secret would let everybody sign.
        _ => Err("its kind is not supported".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(key: Value) -> Option<Algorithm> {
        let set = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
        set.find(None).map(|key| key.algorithm)
    }

    fn rsa(bytes: usize, more: Value) -> Value {
        let modulus = URL_SAFE_NO_PAD.encode([&[0x80][..], &vec![1; bytes - 1]].concat());
        let mut key = json!({ "kty": "RSA", "n": modulus, "e": "AQAB", "kid": "r" });
        key.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        key
    }

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    #[test]
    fn the_algorithm_is_the_keys_own_or_the_usual_one_of_its_kind() {
        assert_eq!(of(rsa(256, json!({}))), Some(Algorithm::RS256));
        assert_eq!(of(rsa(256, json!({ "alg": "PS512", "use": "sig" }))), Some(Algorithm::PS512));
        assert_eq!(of(json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y })), Some(Algorithm::ES256));
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        assert_eq!(of(ed), Some(Algorithm::EdDSA));
    }

    #[test]
    fn keys_that_prove_nothing_are_left_out() {
        for key in [
            json!({ "kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256" }),
            rsa(128, json!({})),
            rsa(256, json!({ "use": "enc" })),
            rsa(256, json!({ "key_ops": ["encrypt"] })),
            rsa(256, json!({ "alg": "HS256" })),
            rsa(256, json!({ "alg": "ES256" })),
            json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "alg": "RS256" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": X, "y": Y }),
            json!({ "kty": "new" }),
            json!(7),
        ] {
            assert_eq!(of(key.clone()), None, "{key}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_alone() {
        let two = json!({ "keys": [rsa(256, json!({ "kid": "a" })), rsa(256, json!({ "kid": "b", "alg": "RS384" })), 7] });
        let set = KeySet::parse(two.to_string().as_bytes()).unwrap();
        assert_eq!(set.find(Some("b")).map(|key| key.algorithm), Some(Algorithm::RS384));
        assert!(set.find(Some("c")).is_none() && set.find(None).is_none());
        for nonsense in ["", "[]", r#"{"keys":{}}"#, "<html>"] {
            assert!(KeySet::parse(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }
}
