//! Identifiers that are validated once, at the edge, and trusted from there on.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

use super::text::check_name;

/// Largest magnitude of a score or of points: ±(2^53 − 1), which a browser, a Redis sorted set and both databases hold exactly.
pub const MAX_SCORE: i64 = (1 << 53) - 1;

/// Why a text is not an identifier. The message completes the sentence "this field …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub &'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and takes it unchanged.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                $parse(text)?;
                Ok(Self(text.into()))
            }

            /// The text, exactly as the client wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// A leaderboard's public id: `^[a-z0-9][a-z0-9._-]{0,63}$`.
    LeaderboardId,
    check_slug
);
text_id!(
    /// An action's public id: `^[a-z0-9][a-z0-9._-]{0,63}$`.
    ActionId,
    check_slug
);
text_id!(
    /// The owner of a score: 1–128 characters of any script, no control characters, not blank. Ordered bytewise. New ids also
    /// have to satisfy [`UserId::parse_new`].
    UserId,
    check_user_id
);

text_id!(
    /// An API key's public id: 10 characters of base 62.
    KeyId,
    check_key_id
);

impl UserId {
    /// Checks an id that may be new: it also has to be visible and usable in a URL ([`check_name`]). Earlier releases were less
    /// strict, and users with ids from them can still be read.
    pub fn parse_new(text: &str) -> Result<Self, InvalidId> {
        let id = Self::parse(text)?;
        check_name(text).map_err(InvalidId)?;
        Ok(id)
    }
}

fn check_slug(text: &str) -> Result<(), InvalidId> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let well_formed = (1..=64).contains(&bytes.len())
        && alphanumeric(bytes[0])
        && bytes.iter().all(|&b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'));
    if well_formed {
        Ok(())
    } else {
        Err(InvalidId("must be 1 to 64 characters of a-z, 0-9, '.', '_' and '-', and start with a letter or digit"))
    }
}

fn check_key_id(text: &str) -> Result<(), InvalidId> {
    let well_formed = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if well_formed { Ok(()) } else { Err(InvalidId("must be 10 letters and digits")) }
}

fn check_user_id(text: &str) -> Result<(), InvalidId> {
    if text.trim().is_empty() {
        return Err(InvalidId("must not be blank"));
    }
    if text.chars().count() > 128 {
        return Err(InvalidId("must have at most 128 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidId("must not contain control characters"));
    }
    Ok(())
}

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    Leaderboard,
    Season,
    Action,
    User,
    Entry,
    Decision,
    Review,
    Key,
    Account,
    Session,
    /// Whatever an address that cannot be decoded was meant to name.
    Resource,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaderboard => "leaderboard",
            Self::Season => "season",
            Self::Action => "action",
            Self::User => "user",
            Self::Entry => "entry",
            Self::Decision => "decision",
            Self::Review => "review",
            Self::Key => "API key",
            Self::Account => "account",
            Self::Session => "session",
            Self::Resource => "resource",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_lower_case_and_starts_with_a_letter_or_digit() {
        for good in ["main", "0", "a.b_c-d", &"x".repeat(64)] {
            assert!(LeaderboardId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "Main", "a b", "é", &"x".repeat(65)] {
            assert!(LeaderboardId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_new_user_id_can_be_seen_and_addressed() {
        for good in ["u-17", "宮本 茂", "...", "a/..", "\u{200b}a"] {
            assert!(UserId::parse_new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "\u{200b}\u{200b}", "\u{e000}", "\u{2800}", "a\nb", &"é".repeat(129)] {
            assert!(UserId::parse_new(bad).is_err(), "{bad:?}");
        }
        assert!(UserId::parse("\u{200b}").is_ok(), "stored by an earlier release");
    }

    #[test]
    fn a_user_id_is_any_script_without_control_characters() {
        for good in ["u-17", "宮本 茂", "<script>", &"é".repeat(128)] {
            assert!(UserId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "\u{3000}", "a\nb", "a\0b", "a\u{85}b", &"é".repeat(129)] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
