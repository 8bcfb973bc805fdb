//! The targets of the write path.

use super::{Bound, Figure, P95, P99, Row, figure, rate, setting};
use crate::measure::window;

/// Names of reports are those that `load/bench-writes` gives.
pub const ROWS: [Row; 13] = [
    Row {
        what: "single `POST /api/scores` with an idempotency key each, 64 connections, Postgres + Redis, a new ledger for a minute, against the same without keys",
        ours: ("fresh-keyed", rate("scores/s")),
        reference: Some(("fresh-plain", rate("scores/s"))),
        target: Bound::AtLeast(0.75),
    },
    Row {
        what: "the last ten seconds of that minute against its first ten",
        ours: ("fresh-keyed", LAST),
        reference: Some(("fresh-keyed", FIRST)),
        target: Bound::AtLeast(0.9),
    },
    Row {
        what: "with keys, where the ledger holds 1,000,000 of them, against without",
        ours: ("many-keyed", rate("scores/s")),
        reference: Some(("many-plain", rate("scores/s"))),
        target: Bound::AtLeast(0.7),
    },
    Row {
        what: "with keys, 256 connections, against without",
        ours: ("wide-keyed", rate("scores/s")),
        reference: Some(("wide", rate("scores/s"))),
        target: Bound::AtLeast(0.7),
    },
    Row {
        what: "with keys, embedded, against without",
        ours: ("embedded-keyed", rate("scores/s")),
        reference: Some(("embedded", rate("scores/s"))),
        target: Bound::AtLeast(0.7),
    },
    Row {
        what: "batches of 200 with keys, 8 connections, against without",
        ours: ("batch-keyed", rate("scores/s")),
        reference: Some(("batch", rate("scores/s"))),
        target: Bound::AtLeast(0.7),
    },
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
        target: Bound::AtLeast(0.33),
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

/// Only long runs tell these.
const FIRST: Figure = (|report| figure(report, window::FIRST), "scores/s");
const LAST: Figure = (|report| figure(report, window::LAST), "scores/s");
