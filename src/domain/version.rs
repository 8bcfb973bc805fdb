//! A position in a leaderboard's stream of changes.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};

/// `<epoch>-<seq>`. Within an epoch the sequence has no gaps; a new epoch follows every loss or rebuild of the ranking, and
/// epochs sort by age.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    pub epoch: Arc<str>,
    pub seq: u64,
}

impl Version {
    pub fn new(epoch: impl Into<Arc<str>>, seq: u64) -> Self {
        Self { epoch: epoch.into(), seq }
    }
}

/// The text is not a version: `[0-9a-z]{1,32}-[0-9]{1,18}` was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must look like a version that this server gave out")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let (epoch, seq) = text.split_once('-').ok_or(InvalidVersion)?;
        let lower = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        let well_formed = (1..=32).contains(&epoch.len())
            && epoch.bytes().all(lower)
            && (1..=18).contains(&seq.len())
            && seq.bytes().all(|b| b.is_ascii_digit());
        if !well_formed {
            return Err(InvalidVersion);
        }
        Ok(Self::new(epoch, seq.parse().map_err(|_| InvalidVersion)?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The number in an epoch's name; `None` if the text is not such a name.
pub fn epoch_number(name: &str) -> Option<i64> {
    i64::from_str_radix(name, 36).ok()
}

/// The name of an epoch: its number, in microseconds since 1970 or a little later, in base 36 and of constant width, so that
/// later epochs compare greater.
pub fn epoch_name(micros: i64) -> String {
    let mut digits = [b'0'; 11];
    let mut rest = micros.max(0) as u64;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
    }
    digits.iter().map(|&b| b as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_round_trips_through_text() {
        let version: Version = "0abc-42".parse().unwrap();
        assert_eq!((&*version.epoch, version.seq), ("0abc", 42));
        assert_eq!(version.to_string(), "0abc-42");
        for bad in ["", "-", "a-", "-1", "A-1", "a-1-2", "a-x", "a-1 ", "é-1", "a--1"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn later_epochs_compare_greater() {
        assert!(epoch_name(35) < epoch_name(36));
        assert!(epoch_name(1_790_000_000_000_000) < epoch_name(1_790_000_000_000_001));
    }
}
