//! What can go wrong inside a transaction, and how much of it the ledger's caller sees.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};

use super::LedgerError;
use crate::repositories::cause::Cause;

/// The five characters that identify an error of a PostgreSQL server, in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlState(pub [u8; 5]);

/// Why a transaction was not committed. Internal to the ledger: whether a retry is worthwhile is decided here.
#[derive(Debug)]
pub enum Failure {
    /// The request cannot be fulfilled: returned to the caller as it is.
    Refused(LedgerError),
    /// Another transaction was faster; the same transaction succeeds when it is repeated.
    Raced,
    /// An idempotency key was used before, or may have been, and was not looked up. The same transaction has to be repeated
    /// with a look-up.
    KeyUsed,
    /// A session ended meanwhile in which something was submitted. The same transaction finds that when it is repeated.
    SessionEnded,
    /// The connection was lost before the commit was requested: nothing was committed, and another connection may work.
    Lost,
    /// The database refused a statement. The code is that of the first error of the transaction, if the engine has codes.
    Database { error: Error, state: Option<SqlState> },
    /// It was only a trial, and succeeded: rolled back.
    Trial,
    /// There was no answer: no connection, or no free connection.
    Unreachable(Cause),
    /// No answer within this time.
    Unanswered(Duration),
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Repeating it helps.
    Repeat,
    /// The data itself may be what the database refuses.
    Suspect,
    /// The store itself has a problem: nothing can be done here.
    Report,
}

impl Failure {
    /// Stored data that this program cannot have written.
    pub fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Refused(LedgerError::Corrupt(what.to_string()))
    }

    /// The cause of the failure of statements that were sent together: the first one to fail spoils the transaction, and the
    /// later ones only report that it is spoiled. At least one of them has to have failed.
    pub fn cause<const STATEMENTS: usize>(failures: [Option<Self>; STATEMENTS]) -> Self {
        let mut failures: Vec<Self> = failures.into_iter().flatten().collect();
        let known = failures.iter().position(|failure| failure.remedy() != Remedy::Report);
        failures.swap_remove(known.unwrap_or(0))
    }

    /// The same failure with the code that the server gave.
    pub fn with_state(self, state: Option<SqlState>) -> Self {
        match self {
            Self::Database { error, state: None } => Self::Database { error, state },
            other => other,
        }
    }

    /// Chooses the remedy. A failure that is not known to be the data's fault, or a race, counts as the store's problem: a
    /// client discards what is refused because of its data, so the data must not be blamed without certainty.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Raced | Self::KeyUsed | Self::SessionEnded | Self::Lost => Remedy::Repeat,
            Self::Database { state: Some(state), .. } => remedy_of_state(*state),
            Self::Database { error, state: None } => remedy_of_error(error),
            Self::Refused(_) | Self::Trial | Self::Unreachable(_) | Self::Unanswered(_) => Remedy::Report,
        }
    }
}

/// Class 40 is a transaction that was rolled back in favour of another one; 22 and 23 are data that is refused; a unique
/// violation is a race of two transactions that inserted the same row.
fn remedy_of_state(SqlState(code): SqlState) -> Remedy {
    match &code {
        b"23505" => Remedy::Repeat,
        [b'4', b'0', ..] => Remedy::Repeat,
        [b'2', b'2' | b'3', ..] => Remedy::Suspect,
        _ => Remedy::Report,
    }
}

/// Errors of SQLite, whose texts are the same everywhere, and of diesel itself.
fn remedy_of_error(error: &Error) -> Remedy {
    use DatabaseErrorKind::{
        CheckViolation, ExclusionViolation, ForeignKeyViolation, NotNullViolation, RestrictViolation, SerializationFailure,
        UniqueViolation, Unknown,
    };
    match error {
        Error::DatabaseError(UniqueViolation | SerializationFailure, _) => Remedy::Repeat,
        Error::DatabaseError(
            CheckViolation | ExclusionViolation | ForeignKeyViolation | NotNullViolation | RestrictViolation,
            _,
        ) => Remedy::Suspect,
        Error::DatabaseError(Unknown, information) => {
            let says = |signs: &[&str]| signs.iter().any(|sign| information.message().contains(sign));
            match () {
                () if says(&["database is locked", "database table is locked"]) => Remedy::Repeat,
                () if says(&["string or blob too big", "cannot store"]) => Remedy::Suspect,
                () => Remedy::Report,
            }
        }
        Error::SerializationError(_) | Error::QueryBuilderError(_) => Remedy::Suspect,
        _ => Remedy::Report,
    }
}

impl std::fmt::Display for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database { error, state: None }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for LedgerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Raced => Self::Unavailable("too many transactions touched the same rows".into()),
            Failure::Database { error: Error::DeserializationError(error), .. } => Self::Corrupt(error.to_string()),
            Failure::KeyUsed => Self::Unavailable("keys were used again and again".into()),
            Failure::SessionEnded => Self::Unavailable("sessions ended again and again".into()),
            Failure::Lost => Self::Unavailable("the connection was lost".into()),
            Failure::Trial => Self::Unavailable("a trial was taken for the real thing".into()),
            Failure::Database { error, state: Some(state) } => {
                Self::Unavailable(Cause::because(format!("{state}: {error}"), error))
            }
            Failure::Database { error, state: None } => Self::Unavailable(Cause::of(error)),
            Failure::Unreachable(cause) => Self::Unavailable(cause),
            Failure::Unanswered(limit) => Self::Unavailable(format!("no answer within {} s", limit.as_secs()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DatabaseErrorKind, message: &str, state: Option<&[u8; 5]>) -> Failure {
        let error = Error::DatabaseError(kind, Box::new(message.to_owned()));
        Failure::Database { error, state: state.map(|code| SqlState(*code)) }
    }

    #[test]
    fn the_code_decides_regardless_of_the_text() {
        let cases: [(&[u8; 5], &str, Remedy); 8] = [
            (b"40P01", "Verklemmung entdeckt", Remedy::Repeat),
            (b"40001", "disk full", Remedy::Repeat),
            (b"23505", "doppelter Schlüsselwert", Remedy::Repeat),
            (b"22021", "invalid byte sequence: disk is full, timeout", Remedy::Suspect),
            (b"23514", "deadlock", Remedy::Suspect),
            (b"53100", "konnte Datei nicht erweitern", Remedy::Report),
            (b"57014", "Anfrage wird storniert", Remedy::Report),
            (b"P0001", "deadlock detected", Remedy::Report),
        ];
        for (code, text, remedy) in cases {
            assert_eq!(of(DatabaseErrorKind::Unknown, text, Some(code)).remedy(), remedy, "{text}");
        }
    }

    #[test]
    fn sqlites_own_problems_are_not_blamed_on_the_data() {
        let remedy = |text: &str| of(DatabaseErrorKind::Unknown, text, None).remedy();
        for text in ["database or disk is full", "disk I/O error", "database disk image is malformed", "whatever comes next"] {
            assert_eq!(remedy(text), Remedy::Report, "{text}");
        }
        assert_eq!(remedy("database is locked"), Remedy::Repeat);
        assert_eq!(remedy("string or blob too big"), Remedy::Suspect);
    }
}
