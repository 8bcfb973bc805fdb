//! The one secret of this server, and the keys derived from it: what the server signs for itself needs no key of its own in the
//! settings, and every instance accepts it.

use std::path::Path;

use anyhow::ensure;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::config::{given, tokens::TokenSettings};

use super::tokens::{MIN_SECRET, signing_secret};

/// Separates these keys from whatever else is derived from the same secret, and from its use as the key of tokens.
const SALT: &[u8] = b"scoreboard root secret";

/// The secret that keys are derived from. It does not leave this type.
pub struct RootSecret(Prk);

impl RootSecret {
    /// `SESSION_SECRET`, else the secret that tokens are signed with: from the settings, or kept in `data_dir`. `None` where others
    /// sign the tokens, and nothing is secret here. An error if it is too short to resist guessing.
    pub fn configure(settings: &TokenSettings, data_dir: &Path) -> anyhow::Result<Option<Self>> {
        match given(&settings.session_secret) {
            Some(secret) => {
                let length = secret.len();
                ensure!(length >= MIN_SECRET, "SESSION_SECRET: the secret has {length} bytes, and needs {MIN_SECRET} at least");
                Ok(Some(Self::of(secret.as_bytes())))
            }
            None => Ok(signing_secret(settings, data_dir)?.map(|secret| Self::of(&secret))),
        }
    }

    fn of(secret: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, SALT).extract(secret))
    }

    /// The key of this label (HKDF-SHA-256). Labels are of one purpose each: who knows one key learns nothing about the others.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let info = [label.as_bytes()];
        let derived = self.0.expand(&info, HKDF_SHA256).and_then(|derived| derived.fill(&mut key));
        derived.expect("32 bytes are as many as one block has");
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    const SECRET: &str = "a secret of more than thirty-two bytes";

    fn root(flags: &[&str]) -> anyhow::Result<Option<RootSecret>> {
        let settings = Settings::from_flags(flags.iter().copied())?;
        RootSecret::configure(&settings.tokens, Path::new("nowhere"))
    }

    #[test]
    fn keys_differ_by_label_and_by_secret_and_are_the_same_everywhere() {
        let one = root(&["--jwt-secret", SECRET]).unwrap().unwrap();
        let same = root(&["--session-secret", SECRET, "--jwt-public-key-file", "key.pem"]).unwrap().unwrap();
        let other = root(&["--jwt-secret", SECRET, "--session-secret", "another secret of thirty-two bytes"]).unwrap().unwrap();
        assert_eq!(one.derive("runs"), same.derive("runs"));
        assert_ne!(one.derive("runs"), one.derive("sessions"));
        assert_ne!(one.derive("runs"), other.derive("runs"));
        assert_ne!(one.derive("runs"), SECRET.as_bytes()[..32]);
    }

    #[test]
    fn a_public_key_alone_is_no_secret() {
        assert!(root(&["--jwt-public-key-file", "key.pem"]).unwrap().is_none());
    }

    #[test]
    fn a_short_secret_is_refused_by_the_name_of_its_setting() {
        let error = root(&["--session-secret", "short"]).err().unwrap().to_string();
        assert!(error.contains("SESSION_SECRET") && error.contains("32"), "{error}");
    }
}
