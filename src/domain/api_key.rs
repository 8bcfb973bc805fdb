//! API keys: credentials of game backends that can be bound to leaderboards, limited, rotated and deleted.
//!
//! A key is `scbk_<id>_<secret>_<checksum>`: ten characters of base 62 that name it, 43 that are secret, and six that tell a
//! mistyped key from an unknown one without asking anybody: the CRC-32 of all that comes before the last underscore. Only the SHA-256
//! of the secret is stored. It has 256 bits at random, so that no salt and no slow hash would add anything.

use std::{num::NonZeroU32, sync::Arc};

use sha2::{Digest, Sha256};

use super::{
    caller::{Credential, KeyUse, Principal, Scopes},
    ids::{KeyId, LeaderboardId},
    time::Timestamp,
};

/// What each key begins with: secret scanners search for it.
pub const PREFIX: &str = "scbk_";
/// What the subject of a key begins with; its id follows. It stays the same when the key is rotated, so idempotency keys live on.
pub const SUBJECT: &str = "key:";
/// Characters of a key's id.
pub const ID_LENGTH: usize = 10;
/// Characters of the secret: 62^43 is a little more than 2^256.
pub const SECRET_LENGTH: usize = 43;
/// Characters of the checksum: 62^6 is more than 2^32.
const CHECKSUM_LENGTH: usize = 6;
/// The digits of base 62.
pub const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of the id that a hint shows.
const HINT_LENGTH: usize = 4;
/// The latest time that JSON shows with a year of four digits, in microseconds.
pub const LATEST: Timestamp = Timestamp(253_402_300_799_999_999);

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// The requests that a key's holder may send to one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyRate {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// What can be chosen, and changed, about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    pub name: String,
    pub scopes: Scopes,
    /// The only leaderboards that it may do more with than everybody may; `None`: all.
    pub leaderboards: Option<Arc<[LeaderboardId]>>,
    /// The first moment at which it is no longer good; `None`: it never expires.
    pub expires_at: Option<Timestamp>,
    /// `None`: as everybody else.
    pub rate: Option<KeyRate>,
}

impl KeySettings {
    /// Whether it is bound to leaderboards that are all among these; `None`: all leaderboards.
    pub fn is_within(&self, bound: Option<&[LeaderboardId]>) -> bool {
        let Some(bound) = bound else { return true };
        self.leaderboards.as_ref().is_some_and(|own| own.iter().all(|id| bound.contains(id)))
    }
}

/// The secrets of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    pub present: SecretHash,
    /// The secret before the last rotation, and the first moment at which it is no longer good.
    pub former: Option<(SecretHash, Timestamp)>,
}

impl Secrets {
    /// After a rotation at this time: the present secret is good until `until`, and an earlier one no longer.
    pub fn rotated(self, new: SecretHash, at: Timestamp, until: Timestamp) -> Self {
        Self { present: new, former: (until > at).then_some((self.present, until)) }
    }
}

/// A key as the ledger stores it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: KeyId,
    pub settings: KeySettings,
    pub secrets: Secrets,
    pub created_at: Timestamp,
    /// The holder of each secret, the present one first: made once, and shared by all requests.
    holders: Vec<Arc<Principal>>,
}

impl ApiKey {
    pub fn new(id: KeyId, settings: KeySettings, secrets: Secrets, created_at: Timestamp) -> Self {
        let subject: Arc<str> = format!("{SUBJECT}{id}").into();
        let former = secrets.former.map(|(secret, until)| (secret, Some(until)));
        let holders = [Some((secrets.present, None)), former].into_iter().flatten().map(|(secret, until)| {
            let expires = [settings.expires_at, until].into_iter().flatten().min();
            Arc::new(Principal {
                subject: Arc::clone(&subject),
                // Rounded up: the exact moment is checked with each use.
                expires: u64::try_from(expires.unwrap_or(LATEST).0).unwrap_or(0).div_ceil(1_000_000),
                scopes: settings.scopes,
                leaderboards: settings.leaderboards.clone(),
                credential: Credential::Key(KeyUse { id: id.clone(), secret, rate: settings.rate }),
            })
        });
        let holders = holders.collect();
        Self { id, settings, secrets, created_at, holders }
    }

    /// The holder of the secret with this hash, if it is good at this moment.
    pub fn holder(&self, secret: &SecretHash, at: Timestamp) -> Option<&Arc<Principal>> {
        if self.settings.expires_at.is_some_and(|end| at >= end) {
            return None;
        }
        // In constant time, although all that could be learned is a hash.
        let is = |known: &SecretHash| aws_lc_rs::constant_time::verify_slices_are_equal(known, secret).is_ok();
        match &self.secrets {
            secrets if is(&secrets.present) => self.holders.first(),
            Secrets { former: Some((former, until)), .. } if at < *until && is(former) => self.holders.get(1),
            _ => None,
        }
    }

    /// The beginning of the key, by which people tell keys apart.
    pub fn hint(&self) -> String {
        format!("{PREFIX}{}…", &self.id.as_str()[..HINT_LENGTH])
    }
}

/// A key that somebody shows: whose it claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey<'a> {
    pub id: &'a str,
    pub secret: SecretHash,
}

/// Why a text cannot be a key, which needs no question to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    #[error("the API key is not complete, or holds characters that no key has")]
    Form,
    #[error("the API key's checksum is wrong: the key is mistyped")]
    Checksum,
}

impl<'a> ShownKey<'a> {
    /// Takes it apart.
    pub fn parse(text: &'a str) -> Result<Self, MalformedKey> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| {
            let (id, rest) = rest.split_once('_')?;
            let (secret, checksum) = rest.split_once('_')?;
            Some((id, secret, checksum))
        });
        let base_62 = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let well_formed = |&(id, secret, checksum): &(&str, &str, &str)| {
            base_62(id, ID_LENGTH) && base_62(secret, SECRET_LENGTH) && base_62(checksum, CHECKSUM_LENGTH)
        };
        let (id, secret, shown) = parts.filter(well_formed).ok_or(MalformedKey::Form)?;
        let before = &text[..text.len() - CHECKSUM_LENGTH - 1];
        if checksum(before) != shown.as_bytes() {
            return Err(MalformedKey::Checksum);
        }
        Ok(Self { id, secret: hash(secret) })
    }
}

/// The whole key of this id and secret.
pub fn text(id: &KeyId, secret: &str) -> String {
    let before = format!("{PREFIX}{id}_{secret}");
    let checksum = checksum(&before).map(char::from);
    format!("{before}_{}", String::from_iter(checksum))
}

/// What is stored of a secret.
pub fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

/// CRC-32 (IEEE) in base 62, with leading zeros.
fn checksum(text: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest as usize % DIGITS.len()];
        rest /= DIGITS.len() as u32;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::Scope;

    fn key(secrets: Secrets, expires_at: Option<Timestamp>) -> ApiKey {
        let scopes = [Scope::ScoresWrite].into_iter().collect();
        let settings = KeySettings { name: "game".into(), scopes, leaderboards: None, expires_at, rate: None };
        ApiKey::new(KeyId::parse("ab12CD34ef").unwrap(), settings, secrets, Timestamp(0))
    }

    #[test]
    fn a_key_is_taken_apart_as_it_was_put_together() {
        let secret = "x".repeat(SECRET_LENGTH);
        let whole = text(&KeyId::parse("ab12CD34ef").unwrap(), &secret);
        assert_eq!(whole.len(), 5 + 10 + 1 + 43 + 1 + 6);
        let shown = ShownKey::parse(&whole).unwrap();
        assert!(shown.id == "ab12CD34ef" && shown.secret == hash(&secret));
        let mistyped = whole.replacen("xx", "xy", 1);
        assert_eq!(ShownKey::parse(&mistyped), Err(MalformedKey::Checksum));
        for other in
            ["", "scbk_", "scbk_a_b_c", &whole[1..], &format!("{whole}0"), &whole.replace('x', "é"), &whole.replace("CD", "C_")]
        {
            assert_eq!(ShownKey::parse(other), Err(MalformedKey::Form), "{other}");
        }
    }

    #[test]
    fn the_checksum_is_the_common_crc_32() {
        // The check value of CRC-32/ISO-HDLC, 0xCBF43926, in base 62.
        assert_eq!(&checksum("123456789"), b"3jZRME");
    }

    #[test]
    fn a_former_secret_is_good_for_the_overlap() {
        let [one, two, three] = ["1", "2", "3"].map(hash);
        let secrets = Secrets { present: one, former: None }.rotated(two, Timestamp(5), Timestamp(10));
        let rotated = key(secrets.clone(), None);
        assert!(rotated.holder(&one, Timestamp(9)).is_some() && rotated.holder(&one, Timestamp(10)).is_none());
        assert!(rotated.holder(&two, Timestamp(10)).is_some() && rotated.holder(&three, Timestamp(5)).is_none());
        let again = key(secrets.rotated(three, Timestamp(6), Timestamp(6)), Some(Timestamp(20)));
        assert!([one, two].iter().all(|secret| again.holder(secret, Timestamp(6)).is_none()));
        assert!(again.holder(&three, Timestamp(19)).is_some() && again.holder(&three, Timestamp(20)).is_none());
    }

    #[test]
    fn a_bound_key_is_within_what_contains_it() {
        let ids =
            |names: &[&str]| -> Arc<[LeaderboardId]> { names.iter().map(|name| LeaderboardId::parse(name).unwrap()).collect() };
        let bound =
            |leaderboards| KeySettings { leaderboards, ..key(Secrets { present: hash("1"), former: None }, None).settings };
        assert!(bound(None).is_within(None) && bound(Some(ids(&["a"]))).is_within(None));
        assert!(bound(Some(ids(&["a"]))).is_within(Some(&ids(&["a", "b"]))));
        assert!(!bound(Some(ids(&["a", "c"]))).is_within(Some(&ids(&["a", "b"]))) && !bound(None).is_within(Some(&ids(&["a"]))));
    }
}
