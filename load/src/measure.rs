//! What is measured: latencies, processor time and memory, and how they are told.

pub mod latency;
pub mod processes;
pub mod report;
pub mod rounds;
pub mod tally;
pub mod transactions;
pub mod window;
