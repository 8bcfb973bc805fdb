//! What the seed document promises of one instance: 10,000 streams, 100 scores a second and 10,000 reads a second at the same time.

use super::{Bound, Figure, P99, Row, figure};

/// `mixed` as `load/bench` runs it. The watchers see the top, as the live page does.
pub const ROWS: [Row; 7] = [
    promise("10,000 streams, `view=top`: open from beginning to end", STREAMS, Bound::AtLeast(10_000.0)),
    promise("100 scores/s: accepted", SCORES, Bound::AtLeast(99.0)),
    promise("100 scores/s: p95", SCORE_P95, Bound::AtMost(50.0)),
    promise("10,000 reads/s of the top ten: answered", READS, Bound::AtLeast(9_900.0)),
    promise("10,000 reads/s of the top ten: p95", READ_P95, Bound::AtMost(10.0)),
    promise("score to every watcher: p99", P99, Bound::AtMost(100.0)),
    promise("patches missing or repeated", WRONG, Bound::AtMost(0.0)),
];

const fn promise(what: &'static str, figure: Figure, target: Bound) -> Row {
    Row { what, ours: ("mixed", figure), reference: None, target }
}

const STREAMS: Figure = (|report| report.settings["streams"].as_f64(), "streams");
const SCORES: Figure = (|report| figure(report, "scores a second"), "scores/s");
const SCORE_P95: Figure = (|report| figure(report, "p95 of a score, ms"), "ms");
const READS: Figure = (|report| figure(report, "reads a second"), "reads/s");
const READ_P95: Figure = (|report| figure(report, "p95 of a read, ms"), "ms");
const WRONG: Figure = (|report| figure(report, "missing, repeated or replaced"), "events");
