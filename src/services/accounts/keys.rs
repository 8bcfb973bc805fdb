//! Keyed hashes and opaque secrets: composed of what `aws-lc-rs` offers, and nothing else.

use std::{fmt, net::IpAddr};

use aws_lc_rs::{constant_time, hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    domain::{account::Login, caller::SessionId, sign_in::Keys},
    repositories::ledger::TokenUse,
    services::secrets::RootSecret,
};

/// What refresh tokens, devices' secrets and links' tokens begin with, so that scanners find them where they do not belong.
const REFRESH: &str = "scbr_";
const DEVICE: &str = "scbd_";
const LINK: &str = "scbl_";
/// Bytes of a refresh token: session, generation, secret, and a tag that shows that it was made here.
const REFRESH_BYTES: usize = 16 + 4 + 32 + TAG;
const TAG: usize = 16;

/// Random bytes from the operating system.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// What is stored of a secret of 256 bits: nobody can guess it from that.
pub fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// A secret of 256 bits for a device or a link, as its holder shows it. Stored is its [`digest`].
#[derive(Clone)]
pub struct Opaque(String);

impl Opaque {
    /// A new one for a device.
    pub fn for_device() -> Self {
        Self(format!("{DEVICE}{}", URL_SAFE_NO_PAD.encode(random::<32>())))
    }

    /// A new one for a link.
    pub fn for_link() -> Self {
        Self(format!("{LINK}{}", URL_SAFE_NO_PAD.encode(random::<32>())))
    }

    pub fn digest(&self) -> [u8; 32] {
        digest(self.0.as_bytes())
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The keys that accounts need, each derived from the root secret for its one purpose.
pub struct AccountKeys {
    refresh: hmac::Key,
    counts: hmac::Key,
    links: hmac::Key,
}

impl AccountKeys {
    pub fn new(root: &RootSecret) -> Self {
        let key = |label| hmac::Key::new(hmac::HMAC_SHA256, &root.derive(label));
        Self { refresh: key("refresh tokens"), counts: key("sign-in counts"), links: key("links in messages") }
    }

    /// The first refresh token of a session.
    pub fn first_token(&self, session: SessionId) -> RefreshToken {
        RefreshToken { session, generation: 0, secret: random() }
    }

    /// The token that follows this one. Always the same, so that whoever repeats a request gets what was lost on the way; and
    /// only whoever has both the token and the key can know it.
    pub fn successor(&self, token: &RefreshToken) -> RefreshToken {
        let RefreshToken { session, generation, secret } = token;
        let generation = generation.wrapping_add(1);
        let secret = mac(&self.refresh, &[b"successor", session.as_bytes(), &generation.to_be_bytes(), secret]);
        RefreshToken { session: *session, generation, secret }
    }

    fn tag(&self, token: &RefreshToken) -> [u8; TAG] {
        let RefreshToken { session, generation, secret } = token;
        let mac = mac(&self.refresh, &[b"tag", session.as_bytes(), &generation.to_be_bytes(), secret]);
        *mac.first_chunk().expect("16 of 32 bytes")
    }

    /// The token as its holder keeps it.
    pub fn text(&self, token: &RefreshToken) -> String {
        let mut bytes = Vec::with_capacity(REFRESH_BYTES);
        bytes.extend_from_slice(token.session.as_bytes());
        bytes.extend_from_slice(&token.generation.to_be_bytes());
        bytes.extend_from_slice(&token.secret);
        bytes.extend_from_slice(&self.tag(token));
        format!("{REFRESH}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The token of this text, if it was made here. Whatever was not is refused without asking the ledger, and can end nobody's
    /// session.
    pub fn token(&self, text: &str) -> Option<RefreshToken> {
        let bytes: [u8; REFRESH_BYTES] = URL_SAFE_NO_PAD.decode(text.strip_prefix(REFRESH)?).ok()?.try_into().ok()?;
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (secret, tag) = rest.split_first_chunk::<32>()?;
        let token =
            RefreshToken { session: Uuid::from_bytes(*session), generation: u32::from_be_bytes(*generation), secret: *secret };
        constant_time::verify_slices_are_equal(&self.tag(&token), tag).ok()?;
        Some(token)
    }

    /// What the ledger needs to know of a token that is used.
    pub fn used(&self, token: &RefreshToken) -> TokenUse {
        TokenUse {
            session: token.session,
            generation: i64::from(token.generation),
            token_hash: digest(&token.secret),
            successor_hash: digest(&self.successor(token).secret),
        }
    }

    /// By what failures of this login at this address are counted. Hashed, because addresses are personal, and logins may be
    /// passwords that were typed into the wrong field.
    pub fn counted(&self, login: &Login, address: IpAddr) -> Keys {
        let (login, address) = (login.as_str().as_bytes(), address.to_string());
        [
            mac(&self.counts, &[b"pair", login, address.as_bytes()]),
            mac(&self.counts, &[b"address", address.as_bytes()]),
            mac(&self.counts, &[b"login", login]),
        ]
    }

    /// By what guests from this address are counted.
    pub fn guests_of(&self, address: IpAddr) -> [u8; 32] {
        mac(&self.counts, &[b"guests", address.to_string().as_bytes()])
    }

    /// The token of the link in a message: the same each time that it is sent, and known to nobody who reads the ledger.
    pub fn link_of(&self, message: Uuid) -> Opaque {
        let token = mac(&self.links, &[message.as_bytes()]);
        Opaque(format!("{LINK}{}", URL_SAFE_NO_PAD.encode(token)))
    }
}

/// HMAC-SHA-256 of parts, each with its length before it, so that no two lists of parts are the same bytes.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A refresh token.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    pub session: SessionId,
    /// How many came before it.
    generation: u32,
    secret: [u8; 32],
}

impl RefreshToken {
    /// SHA-256 of its secret.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.secret)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.session, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    fn keys(secret: &str) -> AccountKeys {
        let settings = Settings::from_flags(["--jwt-secret", secret]).unwrap();
        AccountKeys::new(&RootSecret::configure(&settings.tokens, Path::new("nowhere")).unwrap().unwrap())
    }

    #[test]
    fn a_token_is_known_again_and_no_other_is() {
        let keys = keys("a secret of more than thirty-two bytes");
        let token = keys.first_token(Uuid::new_v4());
        let text = keys.text(&token);
        assert_eq!(keys.token(&text), Some(token));
        let bytes = text.as_bytes();
        for place in REFRESH.len()..text.len() {
            let mut altered = bytes.to_vec();
            altered[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys.token(std::str::from_utf8(&altered).unwrap()), None, "{place}");
        }
        for nonsense in ["", REFRESH, "scbr_AAAA", "a.b.c"] {
            assert_eq!(keys.token(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_successor_is_always_the_same_and_needs_the_key() {
        let (ours, others) = (keys("a secret of more than thirty-two bytes"), keys("another secret of thirty-two bytes"));
        let token = ours.first_token(Uuid::new_v4());
        assert_eq!(ours.successor(&token), ours.successor(&token));
        assert_ne!(ours.successor(&token), others.successor(&token));
        assert_ne!(ours.successor(&token), ours.successor(&ours.successor(&token)));
        assert_eq!(ours.used(&token).successor_hash, ours.successor(&token).digest());
        assert_eq!(others.token(&ours.text(&token)), None);
    }

    #[test]
    fn counts_are_by_login_and_address() {
        let (keys, ada) = (keys("a secret of more than thirty-two bytes"), Login::parse("ada").unwrap());
        let [here, there] = ["203.0.113.9", "203.0.113.10"].map(|address| keys.counted(&ada, address.parse().unwrap()));
        assert!(here[0] != there[0] && here[1] != there[1] && here[2] == there[2]);
    }
}
