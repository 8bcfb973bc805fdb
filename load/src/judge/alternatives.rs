//! The weekend alternative (Node, Express, pg, ioredis) beside ours, and reads beside the limit.

use super::{Bound, Figure, P99, Row, rate};

/// Names of reports are those that `load/bench` gives.
pub const ROWS: [Row; 8] = [
    Row::against("single scores, 64 connections, against Node", ("ours-write", SCORES), ("node-write", SCORES), Bound::Open),
    Row::against("single scores: p99", ("ours-write", P99), ("node-write", P99), Bound::Open),
    Row::against("top ten, 64 connections, against Node", ("ours-read", READS), ("node-read", READS), Bound::Open),
    Row::against("top ten: p99", ("ours-read", P99), ("node-read", P99), Bound::Open),
    Row::against("score to 1,000 watchers at 10/s, against Node: p99", ("ours-watch", P99), ("node-watch", P99), Bound::Open),
    Row::against("top ten against bare hyper, same bytes", ("ours-read", READS), ("hyper-read", READS), Bound::AtLeast(0.8)),
    Row::against("bare axum against bare hyper, same bytes", ("axum-read", READS), ("hyper-read", READS), Bound::Open),
    Row::against(
        "a place with five neighbours on each side against bare hyper",
        ("ours-around", READS),
        ("hyper-read", READS),
        Bound::Open,
    ),
];

const SCORES: Figure = rate("scores/s");
const READS: Figure = rate("reads/s");
