//! Why a service refused or failed. Knows no HTTP: `http/problem.rs` maps each to a status.

use std::borrow::Cow;

use crate::{
    domain::{
        caller::Denied,
        ids::{LeaderboardId, Noun},
        leaderboard::InvalidSetting,
        time::Timestamp,
    },
    repositories::{cause::Cause, ledger::LedgerError, ranking_store::RankingError},
};

/// A validation error, with the field that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, for example `submissions[3].userId`.
    pub field: String,
    /// Stable and machine-readable, for example `required`, `range`, `unknown`.
    pub code: &'static str,
    /// Human-readable.
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

/// See the module's documentation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    #[error("validation failed")]
    Invalid(Vec<FieldError>),
    #[error("there is no such {0}")]
    NotFound(Noun),
    #[error("this id is taken")]
    Taken,
    #[error("leaderboard {0} is closed")]
    Closed(LeaderboardId),
    #[error("{0}")]
    Conflict(String),
    /// The receipt that is asked for again is gone, with its user.
    #[error("this key's score counts, and its user was erased")]
    Erased,
    /// A moderator has set the user's name.
    #[error("a moderator has set this name: it cannot be changed")]
    NameLocked,
    /// The user's scores are refused; `None`: for ever.
    #[error("{}", banned(.until))]
    Banned { until: Option<Timestamp> },
    /// The leaderboard has gone on to another season than the one named.
    #[error("the season has ended: the current one is {current}")]
    SeasonEnded { current: i64 },
    /// A submission's run is not one that counts; the code says why.
    #[error("runToken: {message}")]
    Run { code: &'static str, message: String },
    /// The run's score is submitted, and it is another one.
    #[error("this run token was used before with another body")]
    RunUsed,
    /// There is no secret to sign run tokens with.
    #[error("this server cannot sign run tokens: it checks tokens with a public key, and SESSION_SECRET is not set")]
    RunsUnavailable,
    #[error("a token is needed")]
    Unauthenticated,
    #[error("{0}")]
    InvalidToken(Cow<'static, str>),
    #[error("{0}")]
    Forbidden(String),
    #[error("too soon")]
    TooSoon { retry_after: u64, detail: String },
    /// Unknown login, wrong password, unknown device: nobody is told which.
    #[error("login and password do not go together")]
    WrongCredentials,
    #[error("this login is taken")]
    LoginTaken,
    /// Nothing is merged: each account keeps its own scores.
    #[error("another account signs in by this already")]
    IdentityTaken,
    /// The ledger has not been heard from: whether the credential has ended is not known.
    #[error("it cannot be confirmed at the moment that the session goes on")]
    Unconfirmed,
    /// A bounded queue is full.
    #[error("too much is waiting already")]
    Overloaded,
    /// The requested version was not reached in time.
    #[error("this version has not been reached yet")]
    NotYet,
    /// The ledger is unavailable; for a write it is unknown whether it was carried out.
    #[error("the ledger is out of reach: {0}")]
    LedgerAway(Cause),
    #[error("{0}")]
    Internal(String),
}

fn banned(until: &Option<Timestamp>) -> String {
    match until {
        Some(until) => format!("the user is banned until {until}"),
        None => "the user is banned".to_owned(),
    }
}

impl ServiceError {
    /// One validation error.
    pub fn invalid(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    /// One about a submission's run.
    pub fn run(code: &'static str, message: impl Into<String>) -> Self {
        Self::Run { code, message: message.into() }
    }
}

impl From<Denied> for ServiceError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated(None) => Self::Unauthenticated,
            Denied::Unauthenticated(Some(why)) => Self::InvalidToken(why),
            Denied::Forbidden(message) => Self::Forbidden(message),
        }
    }
}

impl From<LedgerError> for ServiceError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Taken => Self::Taken,
            LedgerError::NotFound(noun) => Self::NotFound(noun),
            LedgerError::Conflict(field) => Self::Conflict(format!("{field} can no longer change once scores exist")),
            LedgerError::Invalid(InvalidSetting { field, message }) => Self::invalid(field, "format", message),
            LedgerError::OtherSeason { current } => Self::SeasonEnded { current },
            LedgerError::Forbidden(message) => Self::Forbidden(message),
            LedgerError::NameLocked => Self::NameLocked,
            LedgerError::LinkInvalid => {
                Self::Forbidden("the link is not good: it was used, has expired, or is for another login".into())
            }
            LedgerError::SessionEnded => Self::InvalidToken("the session has ended".into()),
            LedgerError::KeyReused => Self::invalid("Idempotency-Key", "reused", "this key was used before with another request"),
            // Whoever meets a boundary carries it out and tries again.
            LedgerError::BoundaryDue(_) => Self::NotYet,
            LedgerError::Unavailable(reason) => Self::LedgerAway(reason),
            LedgerError::Corrupt(reason) | LedgerError::Unusable(reason) => Self::Internal(reason),
        }
    }
}

impl From<RankingError> for ServiceError {
    fn from(error: RankingError) -> Self {
        Self::Internal(error.to_string())
    }
}
