//! How many streams there may be and how much of the past they can resume.

use clap::Args;

/// Caps and history of the streams.
#[derive(Debug, Clone, Args)]
pub struct StreamSettings {
    /// Streams that one client address may have open at once (IPv6: one /64). Where the limit of open files is low it is fewer: never all that
    /// there may be.
    #[arg(long, env = "STREAMS_PER_IP", default_value_t = 10_000)]
    pub streams_per_ip: usize,
    /// Streams that the holder of one token (its `sub`) may have open at once; fewer in the same way.
    #[arg(long, env = "STREAMS_PER_TOKEN", default_value_t = 10_000)]
    pub streams_per_token: usize,
    /// How many of a leaderboard's newest events a client can resume after.
    #[arg(long, env = "STREAM_HISTORY", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub stream_history: u64,
}
