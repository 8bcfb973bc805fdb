//! Why a store could not do something.

use std::{error::Error, fmt, sync::Arc};

/// A sentence for the log, never for a client, and the error that it comes from, where there is one. Equal where they say the same.
#[derive(Debug, Clone)]
pub struct Cause {
    reason: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    /// This error, in its own words.
    pub fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self::because(error.to_string(), error)
    }

    /// The same in other words.
    pub fn because(reason: impl Into<String>, error: impl Error + Send + Sync + 'static) -> Self {
        Self { reason: reason.into(), source: Some(Arc::new(error)) }
    }

    pub fn as_str(&self) -> &str {
        &self.reason
    }
}

impl From<String> for Cause {
    fn from(reason: String) -> Self {
        Self { reason, source: None }
    }
}

impl From<&str> for Cause {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.reason == other.reason
    }
}

impl Eq for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_keeps_the_error_behind_it() {
        let cause = Cause::because("the disk: full", std::io::Error::other("full"));
        assert_eq!(cause.to_string(), "the disk: full");
        assert_eq!(cause.source().map(ToString::to_string).as_deref(), Some("full"));
        assert_eq!(cause, Cause::from("the disk: full"));
    }
}
