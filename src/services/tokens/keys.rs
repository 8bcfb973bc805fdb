//! The key that tokens are verified with: from the settings, or generated and stored in `DATA_DIR`. A key that could never
//! verify a token is refused at the start.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::{
    encoding::AsDer,
    rsa::PublicEncryptingKey,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rustls::{pki_types::CertificateDer, server::ParsedCertificate};

use crate::{
    config::{given, tokens::TokenSettings},
    repositories::private,
};

/// The least bytes of an HS256 secret: one shorter than the hash can be guessed.
pub(in crate::services) const MIN_SECRET: usize = 32;
/// The name of the generated secret in `DATA_DIR`.
const SECRET_FILE: &str = "jwt-secret";
/// Bits of an RSA key: a shorter one can be broken, and longer ones are not supported.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key with its one algorithm.
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
    /// Set if the key is a secret of ours: then tokens are issued with it, too.
    pub encoding: Option<EncodingKey>,
}

impl Key {
    /// Takes the key from the settings, or generates a random secret and stores it in `data_dir`.
    pub fn configure(settings: &TokenSettings, data_dir: &Path) -> anyhow::Result<Self> {
        let file = settings.public_key_file();
        match (file, given(&settings.jwt_secret)) {
            (Some(_), Some(_)) => bail!("JWT_SECRET and JWT_PUBLIC_KEY_FILE are both set: one key is read, not both"),
            (Some(path), None) => {
                let name = || format!("JWT_PUBLIC_KEY_FILE {}", path.display());
                let pem = fs::read(path).with_context(|| format!("{} cannot be read", name()))?;
                let (algorithm, decoding) = public_key(&pem).with_context(name)?;
                Ok(Self { algorithm, decoding, encoding: None })
            }
            (None, Some(secret)) => Self::secret(secret.as_bytes()).context("JWT_SECRET"),
            (None, None) => {
                Self::secret(&kept_secret(data_dir)?).with_context(|| data_dir.join(SECRET_FILE).display().to_string())
            }
        }
    }

    fn secret(secret: &[u8]) -> anyhow::Result<Self> {
        ensure!(secret.len() >= MIN_SECRET, "the secret has {} bytes, and needs {MIN_SECRET} at least", secret.len());
        let (decoding, encoding) = (DecodingKey::from_secret(secret), EncodingKey::from_secret(secret));
        Ok(Self { algorithm: Algorithm::HS256, decoding, encoding: Some(encoding) })
    }
}

/// The secret that tokens are signed with, [checked](Key::configure) elsewhere; `None` if others sign them.
pub(in crate::services) fn signing_secret(settings: &TokenSettings, data_dir: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if settings.public_key_file().is_some() {
        return Ok(None);
    }
    match given(&settings.jwt_secret) {
        Some(secret) => Ok(Some(secret.as_bytes().to_vec())),
        None => kept_secret(data_dir).map(Some),
    }
}

/// The one public key in a PEM file, either bare or in a certificate.
fn public_key(pem: &[u8]) -> anyhow::Result<(Algorithm, DecodingKey)> {
    let blocks = pem::parse_many(pem).map_err(|error| anyhow!("the file is not PEM: {error}"))?;
    ensure!(
        blocks.iter().all(|block| !block.tag().contains("PRIVATE KEY")),
        "the file holds a private key; the server needs the public one, and nobody else the private one"
    );
    let [block] = blocks.as_slice() else { bail!("the file holds {} keys in PEM form, and one is read", blocks.len()) };
    match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => key_in(block.contents()),
        "CERTIFICATE" => {
            let certificate = CertificateDer::from(block.contents());
            let certificate = ParsedCertificate::try_from(&certificate).map_err(|error| anyhow!("the certificate: {error}"))?;
            key_in(&certificate.subject_public_key_info())
        }
        tag => bail!("the file holds a {tag}; the server needs a PUBLIC KEY"),
    }
}

/// The key in a `SubjectPublicKeyInfo` (or PKCS #1), and the one algorithm for its kind. It is parsed here in the same way as
/// for each token.
fn key_in(der: &[u8]) -> anyhow::Result<(Algorithm, DecodingKey)> {
    if let Ok(key) = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der) {
        let bits =
            key.as_der().ok().and_then(|der| PublicEncryptingKey::from_der(der.as_ref()).ok()).map(|key| key.key_size_bits());
        let supported = bits.is_some_and(|bits| RSA_BITS.contains(&bits));
        ensure!(supported, "an RSA key has to be for RS256 (not PSS), with {} to {} bits", RSA_BITS.start(), RSA_BITS.end());
        return Ok((Algorithm::RS256, DecodingKey::from_rsa_der(der)));
    }
    if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der).is_ok() {
        return Ok((Algorithm::ES256, DecodingKey::from_ec_der(der)));
    }
    if ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, der).is_ok() {
        return Ok((Algorithm::ES384, DecodingKey::from_ec_der(der)));
    }
    ensure!(
        ParsedPublicKey::new(&ED25519, der).is_ok(),
        "the key's algorithm is not supported; RSA (RS256), P-256 (ES256), P-384 (ES384) and Ed25519 (EdDSA) are"
    );
    Ok((Algorithm::EdDSA, DecodingKey::from_ed_der(der)))
}

/// The secret in the data directory, generated at the first start: 32 random bytes, readable by this user alone.
fn kept_secret(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let path = data_dir.join(SECRET_FILE);
    let unreadable = || format!("{} (DATA_DIR) cannot be read", path.display());
    match fs::read(&path) {
        Ok(secret) => {
            private::tighten_file(&path).with_context(|| format!("{} cannot be made private", path.display()))?;
            return Ok(secret.trim_ascii().to_vec());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(unreadable),
    }
    private::make_directory(data_dir).with_context(|| format!("DATA_DIR {} cannot be made", data_dir.display()))?;
    let mut random = [0; 32];
    random[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    random[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let secret = URL_SAFE_NO_PAD.encode(random);
    // First written completely under another name: two processes that start at once must end up with the same secret.
    let draft = data_dir.join(format!("{SECRET_FILE}.{}", uuid::Uuid::new_v4().simple()));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        file.write_all(secret.as_bytes())?;
        file.sync_all()
    });
    let linked = written.and_then(|()| fs::hard_link(&draft, &path));
    fs::remove_file(&draft).ok();
    match linked {
        Ok(()) => Ok(secret.into_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(fs::read(&path).with_context(unreadable)?.trim_ascii().to_vec())
        }
        Err(error) => Err(error).with_context(|| format!("{} (DATA_DIR) cannot be written", path.display())),
    }
}
