//! Durable jobs: work that is recorded in the transaction that makes it necessary, and done later, at least once, whatever
//! fails meanwhile.
//!
//! A payload holds what the work needs to know and its progress; `workers/jobs.rs` runs it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{account::Login, ids::UserId, time::Timestamp};

/// The input of a job, as it is stored: JSON.
pub trait Payload: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind of work, for example `sweep-leaderboard`: letters, digits and hyphens.
    const QUEUE: &'static str;

    /// What the job concerns. A queue has one job per key at a time, a running or dead one included; another one with the same key is not added. Work
    /// that must not be missed while an earlier one runs needs a key of its own.
    fn key(&self) -> String;
}

/// A job to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub queue: &'static str,
    pub key: String,
    pub payload: String,
    pub due_at: Timestamp,
}

impl NewJob {
    /// This work, due from `due_at` on.
    pub fn new<P: Payload>(payload: &P, due_at: Timestamp) -> Self {
        let text = serde_json::to_string(payload).expect("a payload always serialises");
        Self { queue: P::QUEUE, key: payload.key(), payload: text, due_at }
    }
}

/// A leased job, until the lease lapses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    pub id: i64,
    /// Distinguishes this run from others of the same job.
    pub lease: i64,
    pub queue: String,
    pub payload: String,
    /// How often it has failed since its last successful run.
    pub attempts: i64,
}

/// How the run of a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing more to do.
    Done,
    /// It continues later, from where it stopped.
    Again { payload: String, due_at: Timestamp },
    /// It will be retried.
    Failed { error: String, due_at: Timestamp },
    /// It has failed too often.
    Dead { error: String },
}

/// The jobs of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueSize {
    pub queue: String,
    /// Waiting, and due.
    pub due: i64,
    pub running: i64,
    pub dead: i64,
}

/// Removes what a deleted leaderboard left: its entries, and its events in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepLeaderboard {
    pub pk: i64,
    /// The history up to this event is swept.
    pub swept_to: Uuid,
}

impl Payload for SweepLeaderboard {
    const QUEUE: &'static str = "sweep-leaderboard";

    fn key(&self) -> String {
        self.pk.to_string()
    }
}

/// Walks through all users in the order of their ids and makes each be found by the present name: of releases that knew no search,
/// and of the previous one beside this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairSearch {
    /// The last user that is done; empty at the beginning.
    pub after: String,
}

impl Payload for RepairSearch {
    const QUEUE: &'static str = "repair-search";

    fn key(&self) -> String {
        String::new()
    }
}

/// Reads an ended season to its end: counts and digests it, and notes the marks from which its ranks are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSeason {
    pub pk: i64,
    pub season: i64,
    /// The correction after which it is read; 0: its end.
    #[serde(default)]
    pub correction: i64,
}

impl Payload for ArchiveSeason {
    const QUEUE: &'static str = "archive-season";

    fn key(&self) -> String {
        let Self { pk, season, correction } = self;
        if *correction == 0 { format!("{pk}-{season}") } else { format!("{pk}-{season}-{correction}") }
    }
}

/// Ends a decision that lapses by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndDecision {
    pub decision: Uuid,
}

impl Payload for EndDecision {
    const QUEUE: &'static str = "end-decision";

    fn key(&self) -> String {
        self.decision.to_string()
    }
}

/// Removes what is left of a user who was erased: stored answers, the subject in the history, and names in reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubUser {
    pub user: UserId,
    /// What the user was called. None in jobs of earlier releases.
    #[serde(default)]
    pub names: Vec<String>,
    pub pseudonym: UserId,
    /// What comes from this event on is not of that user.
    pub until: Uuid,
    /// The history up to this event is scrubbed; `None`: the answers are not yet either.
    pub after: Option<Uuid>,
}

impl Payload for ScrubUser {
    const QUEUE: &'static str = "scrub-user";

    fn key(&self) -> String {
        self.pseudonym.to_string()
    }
}

/// Deletes old idempotency keys, in a walk through all of them that starts again some time after its end. The payload holds its
/// progress: each engine walks in the order in which it stores them, PostgreSQL by page, SQLite by subject and key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneKeys {
    pub page: i64,
    pub after: (String, String),
}

impl Payload for PruneKeys {
    const QUEUE: &'static str = "prune-keys";

    fn key(&self) -> String {
        String::new()
    }
}

/// Deletes the receipts of deleted keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReceipts {}

impl Payload for PruneReceipts {
    const QUEUE: &'static str = "prune-receipts";

    fn key(&self) -> String {
        String::new()
    }
}

/// Sends a link to whoever it is for. The link is made when it is sent: nothing that is stored holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMail {
    /// Identifies the message to its receiver, however often it is sent, and the link in it.
    pub message: Uuid,
    pub about: Mail,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "type")]
pub enum Mail {
    PasswordReset { account: UserId },
    Invite { login: Login, expires_at: Timestamp },
}

impl Payload for SendMail {
    const QUEUE: &'static str = "send-mail";

    fn key(&self) -> String {
        self.message.to_string()
    }
}

/// Deletes what of accounts has expired: sessions, links, failures to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneAccounts {}

impl Payload for PruneAccounts {
    const QUEUE: &'static str = "prune-accounts";

    fn key(&self) -> String {
        String::new()
    }
}
