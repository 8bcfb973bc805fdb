//! A submission in progress: what came in, and its result in the ledger.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    action::ValueError,
    caller::Credential,
    event::Cause,
    ids::{ActionId, LeaderboardId, UserId},
    leaderboard::Board,
    review::Trip,
    run::RunFault,
    time::Timestamp,
    version::Version,
};

/// A parsed and authorised submission that waits for its commit.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The token's `sub`: idempotency keys belong to it.
    pub subject: Arc<str>,
    /// What it was sent with, as that was then.
    pub credential: Credential,
    /// Whether only actions open to self-service are allowed.
    pub self_service_only: bool,
    pub action_id: ActionId,
    pub user_id: UserId,
    pub value: Option<i64>,
    pub metadata: Option<Map<String, Value>>,
    /// The season of the leading leaderboard that it is meant for.
    pub season: Option<i64>,
    /// Names the user if nobody has yet.
    pub display_name: Option<String>,
    pub idempotency: Option<Idempotency>,
    /// When the run began that it ends; its key is then that of the run.
    pub run: Option<Timestamp>,
}

/// The owner of the keys of runs. Such a key has a space in it, so no client makes one.
const RUNS: &str = "run";

impl Submission {
    /// Whose idempotency key it brings: that of a run counts once, whoever brings it.
    pub fn key_owner(&self) -> &str {
        if self.run.is_some() { RUNS } else { &self.subject }
    }

    /// The same, shared.
    pub fn shared_key_owner(&self) -> Arc<str> {
        static OWNER: LazyLock<Arc<str>> = LazyLock::new(|| RUNS.into());
        if self.run.is_some() { Arc::clone(&OWNER) } else { Arc::clone(&self.subject) }
    }
}

/// A client's promise that two submissions with the same key are the same submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// 1–128 visible ASCII characters, or that of a run.
    pub key: String,
    /// SHA-256 over the content of the submission, so that a repeated key with another body is detected.
    pub fingerprint: [u8; 32],
    /// The fingerprint as the previous release computed it, if that differs.
    pub former: Option<[u8; 32]>,
}

/// An idempotency key for a request that is no score.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// Whose key it is.
    pub subject: String,
    pub key: String,
    /// SHA-256 over the content of the request.
    pub fingerprint: [u8; 32],
}

/// The outcome of one submission.
#[derive(Debug, Clone)]
pub enum Settled {
    /// Committed now.
    Accepted(Accepted),
    /// The same key was committed before, by the submission with this id. `receipt` is the answer that was given then; `None`
    /// if that answer is not stored (yet).
    Replayed { event_id: Uuid, receipt: Option<String> },
    /// Nothing was changed.
    Refused(Refusal),
}

impl Settled {
    /// The submission that was committed now.
    pub fn accepted(&self) -> Option<&Accepted> {
        match self {
            Self::Accepted(accepted) => Some(accepted),
            _ => None,
        }
    }
}

/// A committed submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    pub event_id: Uuid,
    pub action_id: ActionId,
    pub user_id: UserId,
    pub at: Timestamp,
    /// One per leaderboard that the action feeds, in the action's order; never empty.
    pub standings: Vec<EntryOutcome>,
    /// The batch of receipts that its own is stored in; `None` without an idempotency key.
    pub receipt_batch: Option<Uuid>,
    /// Why it is withheld until a moderator has seen it; empty if it counts. If it is, its standings say what it would have done,
    /// and none was applied.
    pub tripped: Vec<Trip>,
}

impl Accepted {
    /// Whether it does not count yet, and nobody is told.
    pub fn is_withheld(&self) -> bool {
        !self.tripped.is_empty()
    }
}

/// The effect of a submission on one entry.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryOutcome {
    pub leaderboard_id: LeaderboardId,
    pub board: Board,
    pub applied: bool,
    pub previous_score: Option<i64>,
    pub new_score: i64,
    pub delta: i64,
    /// The entry's revision after this submission; unchanged if it was not applied.
    pub revision: i64,
    /// The points, where neither the submission's value nor this outcome tells them.
    pub points: Option<i64>,
    /// Whether the entry is hidden: nobody is told, and there is no rank.
    pub hidden: bool,
}

/// Why a submission changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    UnknownAction,
    DisabledAction,
    /// The action names no leaderboard that (still) exists.
    NoLeaderboard,
    /// The token may only submit actions open to self-service.
    NotSelfService,
    Closed(LeaderboardId),
    Value(ValueError),
    /// The score would leave ±(2^53 − 1) in this leaderboard.
    ScoreOutOfRange(LeaderboardId),
    /// The score would leave the bounds of this leaderboard.
    OutOfBounds(LeaderboardId),
    /// The leading leaderboard is in another season than the one named.
    OtherSeason {
        id: LeaderboardId,
        named: i64,
        current: i64,
    },
    /// Cooldown or action limit; seconds until a retry may succeed.
    TooSoon {
        retry_after: u64,
    },
    /// One of the leaderboards bans the user; `None`: for ever.
    Banned {
        until: Option<Timestamp>,
    },
    /// The idempotency key was used with another body.
    KeyReused,
    /// The API key was deleted, rotated or has expired since the request began.
    KeyEnded,
    /// The API key may not submit for this user, or by any action, any more.
    KeyLacksScope,
    /// The API key is bound to leaderboards, and the action feeds others, too.
    KeyBound,
    /// The session has ended since the request began.
    SessionEnded,
    /// The action is one of runs, and there is no run token.
    RunRequired,
    /// The run was too short, too long, or too good.
    Run(RunFault),
    /// The run token was used with another body.
    RunUsed,
    /// The database cannot store the content of the submission.
    Unstorable,
}

/// A stored score event, as the history shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreEvent {
    pub event_id: Uuid,
    /// `None`: an adjustment.
    pub action_id: Option<ActionId>,
    pub user_id: UserId,
    pub value: Option<i64>,
    pub metadata: Option<Map<String, Value>>,
    pub at: Timestamp,
    /// Why it does not count; `None` if it does.
    pub withheld: Option<String>,
    /// One per leaderboard that was fed, the leading one (or the requested one) first.
    pub standings: Vec<PastOutcome>,
}

/// The effect of a past submission on one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastOutcome {
    pub leaderboard_id: LeaderboardId,
    pub season: i64,
    pub applied: bool,
    pub delta: i64,
    pub previous_score: Option<i64>,
    pub new_score: i64,
    /// Whether the entry was removed since: then it does not count here.
    pub removed: bool,
}

/// A leaderboard's score in the list of its latest ones: the fields of its `score-updated` event that are still known. Parsed
/// from the contents of [`Change::event`](super::announcement::Change::event).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestScore {
    /// The version at which it was announced; `None` if that is not remembered, and then neither are the ranks.
    #[serde(skip_deserializing)]
    pub version: Option<Version>,
    pub event_id: Uuid,
    pub user_id: UserId,
    pub display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// `None`: an adjustment, or another correction.
    pub action_id: Option<ActionId>,
    #[serde(default, skip_serializing)]
    pub cause: Option<Cause>,
    pub delta: i64,
    pub score: i64,
    /// `None` for a newcomer.
    pub previous_score: Option<i64>,
    #[serde(skip_deserializing)]
    pub rank: Option<u64>,
    #[serde(skip_deserializing)]
    pub previous_rank: Option<u64>,
    pub at: Timestamp,
}
