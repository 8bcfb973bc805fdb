//! What the streams report to the metrics.

use std::sync::LazyLock;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::admission::Busy;

/// Why a connection starts over from a snapshot. Each is also the label of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// The ranking was lost or rebuilt: earlier positions no longer have a meaning.
    Epoch,
    /// Events were missed that the history no longer has.
    Gap,
    /// The client named a position that cannot be resumed after.
    Position,
    /// The client reads more slowly than events occur: what it has not read is conflated into the newest state.
    Behind,
}

/// Metric handles that are looked up once, because looking one up costs more than all other work of a delivery. Created when
/// the first stream is served, by which time the recorder is installed.
pub(super) struct Measures {
    /// Events handed to connections.
    pub deliveries: Counter,
    /// Pieces handed to connections: events that wait together form one piece, and one write.
    pub writes: Counter,
    /// Seconds from a score's commit until it was written to the socket, for one connection in [`SAMPLE`].
    pub lag: Histogram,
    /// Streams open in this process.
    pub open: Gauge,
    restarts: [Counter; 4],
    refusals: [Counter; 3],
}

/// One connection in this many is measured: recording costs a tenth of a microsecond, and neighbours have the same lag.
pub(super) const SAMPLE: usize = 16;

pub(super) static MEASURES: LazyLock<Measures> = LazyLock::new(|| Measures {
    deliveries: counter!("scoreboard_stream_deliveries_total"),
    writes: counter!("scoreboard_stream_writes_total"),
    lag: histogram!("scoreboard_stream_lag_seconds"),
    open: gauge!("scoreboard_streams_open"),
    refusals: ["address", "token", "server"].map(|reason| counter!("scoreboard_streams_refused_total", "reason" => reason)),
    restarts: ["epoch", "gap", "position", "behind"].map(|reason| counter!("scoreboard_stream_resets_total", "reason" => reason)),
});

impl Measures {
    pub fn restarted(&self, why: Restart) {
        self.restarts[why as usize].increment(1);
    }

    pub fn refused(&self, why: Busy) {
        self.refusals[why as usize].increment(1);
    }
}
