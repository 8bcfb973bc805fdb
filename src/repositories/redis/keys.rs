//! The names of a board's keys and channels. All of a board's keys carry the hash tag `{pk}`, so that they are in one slot of a
//! cluster and one script may access them all.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Version, season, sizes and the server the ranking was built on.
pub(in crate::repositories) const META: &str = "meta";
/// Sorted set: sort score → time and user.
pub(in crate::repositories) const PLACES: &str = "z";
/// Hash: user → `revision:sort score:time`.
pub(in crate::repositories) const ENTRIES: &str = "m";
/// Hash: user → `revision:name`, or `revision` if the name was removed.
pub(in crate::repositories) const NAMES: &str = "n";
/// Stream: the recent events, one entry per batch.
pub(in crate::repositories) const STREAM: &str = "s";
/// Hash with an expiry: the rebuild's owner, and how much has been loaded.
pub(in crate::repositories) const LEASE: &str = "l";
/// Hash: instance → `watchers:expiry`.
pub(in crate::repositories) const WATCHERS: &str = "w";
/// Hash with an expiry: the version at which the deletion was announced.
pub(in crate::repositories) const TOMBSTONE: &str = "x";

/// Text: a token of the ledger that feeds the rankings. One for the installation.
pub(in crate::repositories) const HOLDER: &str = "o";
/// Number: the newest revision of the definitions that was announced. One for the installation.
pub(in crate::repositories) const DEFINITIONS: &str = "d";
/// Text: written to test whether writes are possible. One for the installation.
pub(in crate::repositories) const PROBE: &str = "p";

/// The pk for keys of the whole installation, which no leaderboard has.
pub(in crate::repositories) const INSTALLATION: i64 = 0;

/// The keys that every check for readiness looks at, in the order in which the scripts expect them.
pub(in crate::repositories) const BOARD: [&str; 4] = [META, PLACES, ENTRIES, NAMES];

/// The names of one installation: several may share a Redis. Clones change their prefix together.
#[derive(Debug, Clone)]
pub(in crate::repositories) struct Keys {
    prefix: Arc<ArcSwap<String>>,
}

impl Keys {
    /// `sb:` and the first eight hexadecimal digits of the installation's id.
    pub fn new(installation_id: &str) -> Self {
        Self { prefix: Arc::new(ArcSwap::from_pointee(prefix(installation_id))) }
    }

    /// Switches to the names of another installation; returns whether they differ.
    pub fn adopt(&self, installation_id: &str) -> bool {
        let prefix = prefix(installation_id);
        let other = **self.prefix.load() != prefix;
        if other {
            self.prefix.store(Arc::new(prefix));
        }
        other
    }

    pub fn key(&self, pk: i64, suffix: &str) -> String {
        format!("{}:{{{pk}}}:{suffix}", self.prefix.load())
    }

    pub fn channel(&self, pk: i64) -> String {
        self.key(pk, "f")
    }

    /// The board that a channel belongs to.
    pub fn board_of(channel: &str) -> Option<i64> {
        channel.split_once('{')?.1.split_once('}')?.0.parse().ok()
    }
}

fn prefix(installation_id: &str) -> String {
    let id: String = installation_id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("sb:{}", id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_keeps_its_keys_in_one_slot_and_is_found_by_its_channel() {
        let keys = Keys::new("01932B5C-7d1c-4000-8000-000000000000");
        assert_eq!(keys.key(17, PLACES), "sb:01932b5c:{17}:z");
        assert_eq!(Keys::board_of(&keys.channel(-3)), Some(-3));
        assert_eq!(Keys::board_of("elsewhere"), None);
        let clone = keys.clone();
        assert!(keys.adopt("ffffffff-0000") && !keys.adopt("ffffffff-0001"));
        assert_eq!(clone.key(17, PLACES), "sb:ffffffff:{17}:z");
    }
}
