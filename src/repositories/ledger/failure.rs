//! What can go wrong inside a transaction, and what of it the caller of the ledger gets to see.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};

use super::LedgerError;

/// Why a transaction was not committed. Stays within the ledger: whether it is worth another try is decided here.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for cannot be: goes to the caller as it is.
    Refused(LedgerError),
    /// Another transaction was faster; the same transaction succeeds when it is repeated.
    Raced,
    /// The connection was lost before the commit was asked for: nothing was committed, and another connection may do.
    Lost,
    /// The database refused a statement.
    Database(Error),
    /// It was only a trial, and all went well: taken back.
    Trial,
    /// Nobody answered: no connection, or no free connection.
    Unreachable(String),
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
    /// Nothing that can be done here.
    Report,
}

impl Failure {
    /// Stored data that nobody here can have written.
    pub fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Refused(LedgerError::Corrupt(what.to_string()))
    }

    /// Why statements failed that were sent together: the first one to fail spoils the transaction, and those behind it are told just that, which
    /// is as unknown as an error can be. At least one of them has to have failed.
    pub fn cause<const STATEMENTS: usize>(failures: [Option<Self>; STATEMENTS]) -> Self {
        let mut failures: Vec<Self> = failures.into_iter().flatten().collect();
        let known = failures.iter().position(|failure| failure.remedy() != Remedy::Suspect);
        failures.swap_remove(known.unwrap_or(0))
    }

    /// Chooses the remedy. diesel names only some kinds of errors; a deadlock and a time-out can be told by their text alone, which
    /// a server may give in another language. An unknown error is therefore suspected of the data, and whoever acts on the suspicion proves it.
    pub fn remedy(&self) -> Remedy {
        let Self::Database(error) = self else {
            return if matches!(self, Self::Raced | Self::Lost) { Remedy::Repeat } else { Remedy::Report };
        };
        match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::SerializationFailure, _) => {
                Remedy::Repeat
            }
            Error::DatabaseError(
                DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::ReadOnlyTransaction,
                _,
            ) => Remedy::Report,
            Error::DatabaseError(_, information) => match information.message() {
                text if ["deadlock", "database is locked", "database table is locked"].iter().any(|sign| text.contains(sign)) => {
                    Remedy::Repeat
                }
                text if ["timeout", "terminating", "shutting down", "disk", "full"].iter().any(|sign| text.contains(sign)) => {
                    Remedy::Report
                }
                _ => Remedy::Suspect,
            },
            Error::SerializationError(_) | Error::QueryBuilderError(_) => Remedy::Suspect,
            _ => Remedy::Report,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
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
            Failure::Database(Error::DeserializationError(error)) => Self::Corrupt(error.to_string()),
            Failure::Lost => Self::Unavailable("the connection was lost".into()),
            Failure::Trial => Self::Unavailable("a trial was taken for the real thing".into()),
            Failure::Database(error) => Self::Unavailable(error.to_string()),
            Failure::Unreachable(why) => Self::Unavailable(why),
            Failure::Unanswered(limit) => Self::Unavailable(format!("no answer within {} s", limit.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DatabaseErrorKind, message: &str) -> Option<Failure> {
        Some(Failure::Database(Error::DatabaseError(kind, Box::new(message.to_owned()))))
    }

    #[test]
    fn the_statement_that_spoiled_a_transaction_is_told_from_those_behind_it() {
        let behind = || of(DatabaseErrorKind::Unknown, "current transaction is aborted");
        let race = || of(DatabaseErrorKind::SerializationFailure, "could not serialize access");
        for failures in [[None, race(), behind()], [behind(), None, race()]] {
            assert_eq!(Failure::cause(failures).remedy(), Remedy::Repeat);
        }
        let bad_row = of(DatabaseErrorKind::Unknown, "invalid byte sequence");
        assert_eq!(Failure::cause([bad_row, behind()]).remedy(), Remedy::Suspect);
    }
}
