//! Where a database in a file lies: its ranking lives and dies with the one server on it, so no copy can get at that.

/// Nothing has to be told apart.
pub const HOME: &str = "SELECT '' AS text";

/// Nothing has to be told apart.
pub const TIMELINE: &str = "SELECT '' AS text";
