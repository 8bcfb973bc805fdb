//! Passwords: which are accepted. What they are is shown to nobody and stored nowhere.

use std::{collections::HashSet, fmt, ops::RangeInclusive, sync::LazyLock};

use super::account::Login;

/// How many characters a password has. At most so many because nobody needs more, and at least so many because fewer are
/// guessed.
const LENGTH: RangeInclusive<usize> = 10..=128;

/// The passwords that are guessed first.
static COMMONEST: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("password/common.txt").lines().filter(|line| !line.starts_with('#')).collect());

/// A password that may be chosen, as it came: with its spaces and its case.
pub struct Password(String);

impl Password {
    /// Checks a password for this login. An error completes the sentence "this field …".
    pub fn choose(text: &str, login: Option<&Login>) -> Result<Self, &'static str> {
        if !LENGTH.contains(&text.chars().count()) {
            return Err("must be 10 to 128 characters long");
        }
        let folded = text.to_lowercase();
        if login.is_some_and(|login| login.as_str() == folded) {
            return Err("must not be the login");
        }
        if COMMONEST.contains(text) || COMMONEST.contains(folded.as_str()) {
            return Err("must not be one of the commonest passwords");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<&'static str> {
        Password::choose(text, Some(&Login::parse("Ada.Lovelace").unwrap())).err()
    }

    #[test]
    fn only_length_and_guessability_count() {
        for good in ["          ", "aaaaaaaaaa", "пароль-длинный", " correct horse ", &"x".repeat(128), "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀"]
        {
            assert_eq!(refusal(good), None, "{good:?}");
        }
        for bad in ["", "123456789", &"x".repeat(129), "🦀🦀🦀🦀🦀🦀🦀🦀🦀"] {
            assert!(refusal(bad).unwrap().contains("10 to 128"), "{bad:?}");
        }
        for bad in ["1234567890", "QWERTYUIOP", "password123"] {
            assert!(refusal(bad).unwrap().contains("commonest"), "{bad:?}");
        }
        assert!(refusal("ada.LOVELACE").unwrap().contains("login"));
    }

    #[test]
    fn it_is_never_shown() {
        let password = Password::choose("correct horse battery", None).unwrap();
        assert_eq!(format!("{password:?}"), "…");
    }
}
