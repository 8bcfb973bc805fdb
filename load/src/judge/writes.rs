//! The targets of the write path.

use super::{Bound, Figure, P95, P99, Row, figure, rate, setting};

/// Names of reports are those that `load/bench-writes` gives.
pub const ROWS: [Row; 7] = [
    Row {
        what: "single `POST /api/scores`, 64 connections, Postgres + Redis, against the plain transaction by `pgbench -c 32`",
        ours: ("single", rate("scores/s")),
        reference: Some(("pgbench", SIMPLE)),
        target: Bound::AtLeast(3.0),
    },
    Row {
        what: "the same against the better of `-M simple`, the default, and `-M prepared`",
        ours: ("single", rate("scores/s")),
        reference: Some(("pgbench", rate("tx/s"))),
        target: Bound::AtLeast(3.0),
    },
    Row {
        what: "`POST /api/scores/batch` of 200, 8 connections, against the bare batched upsert with history",
        ours: ("batch", rate("scores/s")),
        reference: Some(("sql", rate("rows/s"))),
        target: Bound::AtLeast(0.4),
    },
    Row {
        what: "embedded, 64 connections, `synchronous=FULL`, against one fsync a score",
        ours: ("embedded", rate("scores/s")),
        reference: Some(("fsync", rate("scores/s"))),
        target: Bound::AtLeast(10.0),
    },
    Row { what: "p99 at half of the first figure", ours: ("half", P99), reference: None, target: Bound::AtMost(25.0) },
    Row { what: "p95 at 100 scores/s", ours: ("hundred", P95), reference: None, target: Bound::AtMost(5.0) },
    Row {
        what: "1,000,000 entries instead of 1,000",
        ours: ("million", OF_A_MILLION),
        reference: Some(("single", rate("scores/s"))),
        target: Bound::AtLeast(0.75),
    },
];

/// As pgbench runs where nothing else is asked for.
const SIMPLE: Figure = (|report| figure(report, "per second, simple"), "tx/s");

/// A quick look with fewer entries is not told as more than it is.
const OF_A_MILLION: Figure = (|report| (setting(report, "users")? >= 1e6).then_some(report.per_second), "scores/s");
