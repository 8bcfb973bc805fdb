//! The targets of the streams.

use super::{Bound, Figure, P95, P99, Row, figure, rate, setting};

/// Names of reports are those that `load/bench-streams` gives.
pub const ROWS: [Row; 17] = [
    Row {
        what: "1,000 watchers × 10 events/s: p99 from commit to receipt",
        ours: ("ours-1000", P99),
        reference: Some(("reference-1000", P99)),
        target: Bound::AtMost(1.3),
    },
    Row {
        what: "1,000 watchers × 10 events/s: processor time of the server for a delivery",
        ours: ("ours-1000", SERVER),
        reference: Some(("reference-1000", SERVER)),
        target: Bound::AtMost(1.2),
    },
    Row {
        what: "1,000 watchers × 10 events/s: missing, repeated, replaced or not delivered",
        ours: ("ours-1000", WRONG),
        reference: None,
        target: Bound::AtMost(0.0),
    },
    Row {
        what: "10,000 watchers × 5 events/s: p99 from commit to receipt",
        ours: ("ours-10000", P99),
        reference: Some(("reference-10000", P99)),
        target: Bound::AtMost(1.3),
    },
    Row {
        what: "10,000 watchers × 5 events/s: processor time of the server for a delivery",
        ours: ("ours-10000", SERVER),
        reference: Some(("reference-10000", SERVER)),
        target: Bound::AtMost(1.2),
    },
    Row {
        what: "10,000 watchers × 5 events/s: missing, repeated, replaced or not delivered",
        ours: ("ours-10000", WRONG),
        reference: None,
        target: Bound::AtMost(0.0),
    },
    Row {
        what: "memory of the server for an idle stream, 10,000 open",
        ours: ("ours-idle", MEMORY),
        reference: None,
        target: Bound::AtMost(8.0),
    },
    Row {
        what: "18,000 streams, 1 event/s: the last receipt",
        ours: ("most", LAST_OF_18_000),
        reference: None,
        target: Bound::AtMost(500.0),
    },
    Row {
        what: "18,000 streams, 1 event/s: missing, repeated, replaced or not delivered",
        ours: ("most", WRONG),
        reference: None,
        target: Bound::AtMost(0.0),
    },
    Row {
        what: "`view=top&hz=5`, 10,000 watchers, 1,000 scores/s: patches a second for a watcher",
        ours: ("top", PATCHES),
        reference: None,
        target: Bound::AtMost(5.0),
    },
    Row { what: "the same: p99 of a patch's age", ours: ("top", P99), reference: None, target: Bound::AtMost(400.0) },
    Row {
        what: "the same: p95 of the scores posted, against nobody watching",
        ours: ("top", POST_P95),
        reference: Some(("quiet", P95)),
        target: Bound::AtMost(1.5),
    },
    Row {
        what: "the same, against scores posted while as many watch as much at a bare fan-out on the same cores",
        ours: ("top", POST_P95),
        reference: Some(("beside", P95)),
        target: Bound::AtMost(1.5),
    },
    Row {
        what: "1,000 watchers, pushed until something gives",
        ours: ("ours-climb", rate("deliveries/s")),
        reference: Some(("reference-climb", rate("deliveries/s"))),
        target: Bound::AtLeast(0.7),
    },
    Row {
        what: "10,000 come back in 10 s: p99 of the first event",
        ours: ("storm", P99),
        reference: None,
        target: Bound::AtMost(1000.0),
    },
    Row {
        what: "the same: transactions a second in Postgres, above those of a quiet time",
        ours: ("storm", TRANSACTIONS),
        reference: None,
        target: Bound::AtMost(1.0),
    },
    Row { what: "the same: streams that failed", ours: ("storm", FAILED), reference: None, target: Bound::AtMost(0.0) },
];

/// The server's processor time.
const SERVER: Figure =
    (|report| Some(report.processes.iter().find(|process| process.name == "server")?.cpu_micros_per_operation), "µs");

/// Whatever a watcher did not get as it should.
const WRONG: Figure =
    (|report| ["missing", "repeated", "resets", "not delivered"].iter().map(|name| figure(report, name)).sum(), "events");

/// The greatest latency; a quick look with fewer streams is not told as more than it is.
const LAST_OF_18_000: Figure =
    (|report| (setting(report, "streams")? >= 18_000.0).then_some(report.latency_ms.as_ref()?.max), "ms");

const MEMORY: Figure = (|report| figure(report, "KiB a stream, opened"), "KiB");

const PATCHES: Figure = (|report| Some(report.per_second / setting(report, "streams")?), "/s");

const POST_P95: Figure = (|report| figure(report, "p95 of a post, ms"), "ms");

const FAILED: Figure = (|report| Some(report.failed.values().sum::<u64>() as f64), "streams");

const TRANSACTIONS: Figure = (
    |report| {
        let [stormy, quiet] =
            ["storm", "quiet"].map(|when| figure(report, &format!("transactions a second in Postgres, {when}")));
        Some((stormy? - quiet?).max(0.0))
    },
    "/s",
);
