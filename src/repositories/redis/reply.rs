//! Parses the answers of the scripts, column by column. An answer of another shape than the script's is an error, never a
//! guess.

use fred::{bytes_utils::Str, types::Value};

use crate::repositories::ranking_store::RankingError;

/// An array that is being parsed.
pub(in crate::repositories) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// The answer of a script that returns `false` if it has none.
    pub fn open(answer: Value) -> Result<Option<Self>, RankingError> {
        match answer {
            Value::Null | Value::Boolean(false) => Ok(None),
            Value::Array(columns) => Ok(Some(Self(columns.into_iter()))),
            _ => Err(unreadable()),
        }
    }

    /// The answer of a script that says `false` where the ranking is not ready, and a number where it is of another season: that
    /// one if it is later, with a minus if it is earlier.
    pub fn ready(answer: Value, pk: i64) -> Result<Self, RankingError> {
        if let Value::Integer(season) = answer {
            return Err(match season {
                ..0 => RankingError::EarlierSeason { pk, season: -season },
                _ => RankingError::LaterSeason { pk, season },
            });
        }
        Self::open(answer)?.ok_or(RankingError::Unready(pk))
    }

    pub fn number(&mut self) -> Result<u64, RankingError> {
        self.0.next().and_then(|value| value.as_u64()).ok_or_else(unreadable)
    }

    pub fn text(&mut self) -> Result<Str, RankingError> {
        self.optional_text()?.ok_or_else(unreadable)
    }

    pub fn optional_text(&mut self) -> Result<Option<Str>, RankingError> {
        match self.0.next() {
            Some(Value::Null | Value::Boolean(false)) => Ok(None),
            Some(value) => value.into_bytes_str().map(Some).ok_or_else(unreadable),
            None => Err(unreadable()),
        }
    }

    pub fn array(&mut self) -> Result<Self, RankingError> {
        match self.0.next() {
            Some(Value::Array(columns)) => Ok(Self(columns.into_iter())),
            _ => Err(unreadable()),
        }
    }

    /// An array, or `false` in its place.
    pub fn optional_array(&mut self) -> Result<Option<Self>, RankingError> {
        match self.0.next() {
            Some(Value::Null | Value::Boolean(false)) => Ok(None),
            Some(Value::Array(columns)) => Ok(Some(Self(columns.into_iter()))),
            _ => Err(unreadable()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

/// The server gave an answer that none of our scripts gives.
pub(in crate::repositories) fn unreadable() -> RankingError {
    RankingError::Unreachable("Redis gave an answer that cannot be read".to_owned())
}

/// Whether an error was sent by the server: those begin with a code in capitals (RESP), the client's own are sentences.
pub(in crate::repositories) fn is_answer(error: &str) -> bool {
    let code = error.split(' ').next().unwrap_or_default();
    !code.is_empty() && code.bytes().all(|letter| letter.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_are_distinguished_from_client_errors() {
        for answered in
            ["OOM command not allowed when used memory > 'maxmemory'.", "NOREPLICAS Not enough good replicas", "ERR no"]
        {
            assert!(is_answer(answered), "{answered}");
        }
        for own in ["Failed to route command.", "Connection closed unexpectedly.", ""] {
            assert!(!is_answer(own), "{own}");
        }
    }
}
