//! The targets of the write path.

use super::{Bound, Figure, P95, P99, Row, figure, rate, setting};
use crate::measure::window;

/// Names of reports are those that `load/bench-writes` gives.
pub const ROWS: [Row; 13] = [
    Row::against(
        "single `POST /api/scores` with an idempotency key each, 64 connections, Postgres + Redis, a new ledger for a minute, against the same without keys",
        ("fresh-keyed", SCORES),
        ("fresh-plain", SCORES),
        Bound::AtLeast(0.75),
    ),
    Row::against(
        "the last ten seconds of that minute against its first ten",
        ("fresh-keyed", LAST),
        ("fresh-keyed", FIRST),
        Bound::AtLeast(0.9),
    ),
    Row::against(
        "with keys, where the ledger holds 1,000,000 of them, against without",
        ("many-keyed", SCORES),
        ("many-plain", SCORES),
        Bound::AtLeast(0.7),
    ),
    Row::against("with keys, 256 connections, against without", ("wide-keyed", SCORES), ("wide", SCORES), Bound::AtLeast(0.7)),
    Row::against("with keys, embedded, against without", ("embedded-keyed", SCORES), ("embedded", SCORES), Bound::AtLeast(0.7)),
    Row::against(
        "batches of 200 with keys, 8 connections, against without",
        ("batch-keyed", SCORES),
        ("batch", SCORES),
        Bound::AtLeast(0.7),
    ),
    Row::against(
        "single `POST /api/scores`, 64 connections, Postgres + Redis, against the plain transaction by `pgbench -c 32`",
        ("single", SCORES),
        ("pgbench", SIMPLE),
        Bound::AtLeast(3.0),
    ),
    Row::against(
        "the same against the better of `-M simple`, the default, and `-M prepared`",
        ("single", SCORES),
        ("pgbench", rate("tx/s")),
        Bound::AtLeast(3.0),
    ),
    Row::against(
        "`POST /api/scores/batch` of 200, 8 connections, against the bare batched upsert with history",
        ("batch", SCORES),
        ("sql", rate("rows/s")),
        Bound::AtLeast(0.33),
    ),
    Row::against(
        "embedded, 64 connections, `synchronous=FULL`, against one fsync a score",
        ("embedded", SCORES),
        ("fsync", SCORES),
        Bound::AtLeast(10.0),
    ),
    Row { what: "p99 at half of the first figure", ours: ("half", P99), reference: None, target: Bound::AtMost(25.0) },
    Row { what: "p95 at 100 scores/s", ours: ("hundred", P95), reference: None, target: Bound::AtMost(5.0) },
    Row::against("1,000,000 entries instead of 1,000", ("million", OF_A_MILLION), ("single", SCORES), Bound::AtLeast(0.75)),
];

/// As pgbench runs where nothing else is asked for.
const SIMPLE: Figure = (|report| figure(report, "per second, simple"), "tx/s");

/// A quick look with fewer entries is not told as more than it is.
const OF_A_MILLION: Figure = (|report| (setting(report, "users")? >= 1e6).then_some(report.per_second), "scores/s");

const SCORES: Figure = rate("scores/s");

/// Only long runs tell these.
const FIRST: Figure = (|report| figure(report, window::FIRST), "scores/s");
const LAST: Figure = (|report| figure(report, window::LAST), "scores/s");
