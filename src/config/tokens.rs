//! How tokens are signed and checked.

use std::path::{Path, PathBuf};

use clap::Args;

use super::given;

/// The key, and what else a token has to say.
#[derive(Clone, Default, Args)]
pub struct TokenSettings {
    /// HS256 secret of 32 bytes at least. Neither this nor a public key: a random one is made and kept in `DATA_DIR`.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// PEM file with the public key (RSA for RS256, P-256 for ES256, P-384 for ES384, Ed25519 for EdDSA) that tokens are checked with.
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// Secret of 32 bytes at least, the same on every instance, from which the keys are derived that this server alone signs with.
    /// Without it they are derived from the HS256 secret.
    #[arg(long, env = "SESSION_SECRET", hide_env_values = true)]
    pub session_secret: Option<String>,
    /// File with public keys (JWKS) that tokens are checked with, too; it may be replaced while the server runs.
    #[arg(long, env = "JWT_JWKS_FILE")]
    pub jwt_jwks_file: Option<PathBuf>,
    /// Address of such keys, `https` or on this machine, such as an identity provider's.
    #[arg(long, env = "JWT_JWKS_URL")]
    pub jwt_jwks_url: Option<String>,
    /// The `iss` that tokens have to carry.
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// The `aud` that tokens have to carry.
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
}

impl TokenSettings {
    /// The file with the public key that tokens are checked with, if they are signed elsewhere.
    pub fn public_key_file(&self) -> Option<&Path> {
        self.jwt_public_key_file.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// Whether tokens are signed with a secret that is made here and kept in `DATA_DIR`.
    pub fn are_of_this_instance(&self) -> bool {
        given(&self.jwt_secret).is_none() && self.public_key_file().is_none()
    }
}

impl std::fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSettings")
            .field("jwt_secret", &self.jwt_secret.as_ref().map(|_| "…"))
            .field("jwt_public_key_file", &self.jwt_public_key_file)
            .field("session_secret", &self.session_secret.as_ref().map(|_| "…"))
            .field("jwt_jwks_file", &self.jwt_jwks_file)
            .field("jwt_jwks_url", &self.jwt_jwks_url)
            .field("jwt_issuer", &self.jwt_issuer)
            .field("jwt_audience", &self.jwt_audience)
            .finish()
    }
}
