//! The result of an ended season: how many entries it has, what digest proves them, and the marks from which its ranks are
//! counted.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{
    entry::{RankKey, StoredEntry},
    leaderboard::Order,
};

/// The digest of a season without entries.
pub const EMPTY_DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Entries between two marks: a rank is found by counting at most as many.
pub const MARK_EVERY: u64 = 64;

/// An entry of an ended season, and how many there are up to it, itself included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub ahead: u64,
    pub key: RankKey,
}

/// Reads a season from its first entry to its last.
#[derive(Default)]
pub struct Reading {
    digest: Sha256,
    line: String,
    total: u64,
    marks: Vec<Mark>,
}

impl Reading {
    /// Takes the next entry in ranking order.
    pub fn read(&mut self, order: Order, entry: &StoredEntry) {
        let Some(score) = entry.score else { return };
        self.total += 1;
        self.line.clear();
        // Writing to a text cannot fail.
        let _ = writeln!(self.line, "{}\t{}\t{score}\t{}", self.total, entry.user_id, entry.reached_at);
        self.digest.update(&self.line);
        if self.total.is_multiple_of(MARK_EVERY) {
            let key =
                RankKey { sort_score: order.sort_score(score), reached_at: entry.reached_at, user_id: entry.user_id.clone() };
            self.marks.push(Mark { ahead: self.total, key });
        }
    }

    /// The number of entries, the digest in hex, and the marks.
    pub fn end(self) -> (u64, String, Vec<Mark>) {
        let digest = self.digest.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        (self.total, digest, self.marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{entry::DisplayName, ids::UserId, time::Timestamp};

    fn entry(user: &str, score: Option<i64>) -> StoredEntry {
        let name = DisplayName { name: None, revision: 0, appearance: None };
        StoredEntry { user_id: UserId::parse(user).unwrap(), score, reached_at: Timestamp(7), revision: 1, name }
    }

    #[test]
    fn the_digest_is_that_of_a_line_for_each_entry() {
        let mut reading = Reading::default();
        for (user, score) in [("ann", Some(9)), ("gone", None), ("bob", Some(-3))] {
            reading.read(Order::Desc, &entry(user, score));
        }
        let text = "1\tann\t9\t1970-01-01T00:00:00.000007Z\n2\tbob\t-3\t1970-01-01T00:00:00.000007Z\n";
        let expected: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(reading.end(), (2, expected, Vec::new()));
        assert_eq!(Reading::default().end().1, EMPTY_DIGEST);
    }

    #[test]
    fn every_so_many_entries_there_is_a_mark() {
        let mut reading = Reading::default();
        (0..3 * MARK_EVERY).for_each(|n| reading.read(Order::Asc, &entry(&format!("u{n}"), Some(n as i64))));
        let marks = reading.end().2;
        assert_eq!(marks.iter().map(|mark| mark.ahead).collect::<Vec<_>>(), [MARK_EVERY, 2 * MARK_EVERY, 3 * MARK_EVERY]);
        assert_eq!(marks[1].key.sort_score, 2 * MARK_EVERY as i64 - 1);
    }
}
