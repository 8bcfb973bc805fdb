//! The location of a database in a file: its ranking lives and dies with the only server on it, so no copy can reach that
//! ranking.

/// Nothing has to be distinguished.
pub const HOME: &str = "SELECT '' AS text";

/// Nothing has to be distinguished.
pub const TIMELINE: &str = "SELECT '' AS text";
