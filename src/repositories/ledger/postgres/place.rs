//! The location of a PostgreSQL database, as texts that differ in a copy of it.

/// The cluster and the database: what differs in a copy that was restored from a dump or made from a template. A copy of the cluster's
/// files shares it.
pub const HOME: &str = "SELECT s.system_identifier::text || '/' || d.oid::text AS text \
    FROM pg_control_system() s CROSS JOIN pg_database d WHERE d.datname = current_database()";

/// The timeline of the write-ahead log.
pub const TIMELINE: &str = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS text";
