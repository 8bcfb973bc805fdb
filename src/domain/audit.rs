//! The audit trail: who changed what, in a chain that shows whether anything was taken out of it or changed.
//!
//! Each entry is hashed together with the hash of the one before. What may have to be erased later (who it was, and about whom) is in
//! the hash by a salted digest: without text and salt the chain still proves itself, and nobody can guess the text.

use std::{fmt::Write, sync::Arc};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{caller::Caller, time::Timestamp};

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Who does something, and when: what every change of the ledger that is no score is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    pub at: Timestamp,
    /// Whose credential it is.
    pub subject: Arc<str>,
    /// The request that asks for it.
    pub request_id: Option<Arc<str>>,
}

impl Act {
    /// What this caller does now.
    pub fn of(caller: &Caller, at: Timestamp) -> Self {
        let subject = caller.subject().unwrap_or_else(|| "anonymous".into());
        Self { at, subject, request_id: caller.request_id().cloned() }
    }
}

/// What the server does by itself at this time.
impl From<Timestamp> for Act {
    fn from(at: Timestamp) -> Self {
        Self::of(&Caller::Server, at)
    }
}

/// A change to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// For example `leaderboard.update`.
    pub action: &'static str,
    /// For example `leaderboard:main`.
    pub target: String,
    pub reason: Option<String>,
    pub details: Value,
}

impl Deed {
    pub fn new(action: &'static str, target: impl Into<String>, details: Value) -> Self {
        Self { action, target: target.into(), reason: None, details }
    }

    /// The same, for this reason.
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }

    /// A change from one state to another: the fields that differ, as `{"field": [before, after]}`.
    pub fn change(action: &'static str, target: impl Into<String>, before: &Value, after: &Value) -> Self {
        let empty = serde_json::Map::new();
        let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
        let differ = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
        let pairs = differ.map(|(name, value)| {
            let pair = Value::Array(vec![before.get(name).cloned().unwrap_or_default(), value.clone()]);
            (name.clone(), pair)
        });
        Self::new(action, target, Value::Object(pairs.collect()))
    }
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// 1, 2, 3 … without gaps.
    pub seq: i64,
    pub at: Timestamp,
    pub action: String,
    pub request_id: Option<String>,
    pub subject: Erasable,
    pub target: Erasable,
    pub reason: Erasable,
    /// JSON.
    pub details: Erasable,
    /// Hexadecimal digits; `None` once it is erased.
    pub salt: Option<String>,
    pub hash: String,
}

/// A text that may be erased, and its salted digest, which stays. Both are absent where there never was a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erasable {
    pub text: Option<String>,
    pub digest: Option<String>,
}

impl Erasable {
    /// A text under this salt.
    pub fn salted(salt: &str, text: Option<String>) -> Self {
        let digest = text.as_deref().map(|text| digest(salt, text));
        Self { text, digest }
    }
}

/// SHA-256 of salt and text, in hexadecimal digits.
fn digest(salt: &str, text: &str) -> String {
    hex(Sha256::new().chain_update(salt).chain_update(text))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// An entry as it is hashed. Its fields are in the order of their names, as in canonical JSON (RFC 8785).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hashed<'a> {
    action: &'a str,
    at: Timestamp,
    details: Option<&'a str>,
    reason: Option<&'a str>,
    request_id: Option<&'a str>,
    seq: i64,
    subject: Option<&'a str>,
    target: Option<&'a str>,
}

impl AuditEntry {
    /// The entry after one with this hash.
    pub fn after(previous: &str, seq: i64, act: &Act, deed: &Deed, salt: String) -> Self {
        let salted = |text: String| Erasable::salted(&salt, Some(text));
        let mut entry = Self {
            seq,
            at: act.at,
            action: deed.action.to_owned(),
            request_id: act.request_id.as_deref().map(str::to_owned),
            subject: salted(act.subject.to_string()),
            target: salted(deed.target.clone()),
            reason: Erasable::salted(&salt, deed.reason.clone()),
            details: salted(deed.details.to_string()),
            salt: None,
            hash: String::new(),
        };
        entry.hash = entry.chained(previous);
        Self { salt: Some(salt), ..entry }
    }

    /// The hash that it has to have after an entry with this one.
    pub fn chained(&self, previous: &str) -> String {
        let hashed = Hashed {
            action: &self.action,
            at: self.at,
            details: self.details.digest.as_deref(),
            reason: self.reason.digest.as_deref(),
            request_id: self.request_id.as_deref(),
            seq: self.seq,
            subject: self.subject.digest.as_deref(),
            target: self.target.digest.as_deref(),
        };
        let row = serde_json::to_string(&hashed).expect("plain fields always serialise");
        hex(Sha256::new().chain_update(previous).chain_update(row))
    }

    /// What is wrong with it after an entry of this number and hash, if anything is.
    pub fn fault(&self, previous_seq: i64, previous: &str) -> Option<&'static str> {
        let texts = [&self.subject, &self.target, &self.reason, &self.details];
        let altered = |field: &&Erasable| match (&field.text, &self.salt) {
            (Some(text), Some(salt)) => field.digest.as_deref() != Some(&digest(salt, text)),
            (Some(_), None) => true,
            // Whoever erases a text takes the salt as well.
            (None, salt) => salt.is_some() && field.digest.is_some(),
        };
        if self.seq != previous_seq + 1 {
            return Some("an entry before it is missing");
        }
        if self.hash != self.chained(previous) {
            return Some("its hash does not follow from the entry before it");
        }
        texts.iter().any(altered).then_some("a text in it is not the one that was recorded")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries() -> Vec<AuditEntry> {
        let act = Act { at: Timestamp(7), subject: "studio".into(), request_id: Some("r-1".into()) };
        let deeds = ["one", "two", "three"].map(|target| Deed::new("leaderboard.create", target, json!({ "name": target })));
        let (mut entries, mut previous) = (Vec::new(), GENESIS.to_owned());
        for (seq, deed) in (1..).zip(&deeds) {
            let entry = AuditEntry::after(&previous, seq, &act, deed, format!("salt-{seq}"));
            previous.clone_from(&entry.hash);
            entries.push(entry);
        }
        entries
    }

    fn faults(entries: &[AuditEntry]) -> Vec<(i64, &'static str)> {
        let (mut seq, mut hash, mut found) = (0, GENESIS.to_owned(), Vec::new());
        for entry in entries {
            found.extend(entry.fault(seq, &hash).map(|fault| (entry.seq, fault)));
            (seq, hash) = (entry.seq, entry.hash.clone());
        }
        found
    }

    #[test]
    fn a_chain_proves_itself_also_after_an_erasure() {
        let mut entries = entries();
        assert_eq!(faults(&entries), []);
        entries[1].salt = None;
        let AuditEntry { subject, target, details, .. } = &mut entries[1];
        [subject, target, details].into_iter().for_each(|field| field.text = None);
        assert_eq!(faults(&entries), []);
    }

    #[test]
    fn whatever_is_altered_shows() {
        let altered = |alter: fn(&mut Vec<AuditEntry>)| {
            let mut entries = entries();
            alter(&mut entries);
            faults(&entries).first().map(|(seq, _)| *seq)
        };
        assert_eq!(altered(|entries| entries[1].subject.text = Some("somebody".into())), Some(2));
        assert_eq!(altered(|entries| entries[1].target.text = None), Some(2));
        assert_eq!(altered(|entries| entries[1].at = Timestamp(8)), Some(2));
        assert_eq!(altered(|entries| drop(entries.remove(1))), Some(3));
        assert_eq!(altered(|entries| entries[0].hash = GENESIS.to_owned()), Some(1));
        assert_eq!(altered(|entries| entries[2].details = Erasable::salted("salt-3", Some("{}".into()))), Some(3));
    }

    #[test]
    fn a_change_names_what_differs() {
        let deed = Deed::change("user.replace", "user:ann", &json!({ "a": 1, "b": 2 }), &json!({ "a": 1, "b": 3, "c": null }));
        assert_eq!(deed.details, json!({ "b": [2, 3], "c": [null, null] }));
    }
}
