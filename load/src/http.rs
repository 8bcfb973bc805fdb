//! A lean HTTP/1.1 client. The generator shares the machine with what it measures, so that its own cost is part of every figure: one task
//! a connection, requests put together in place, answers parsed where they arrived.

pub mod connection;
pub mod crowd;
pub mod drive;
pub mod pacer;
pub mod request;
pub mod sockets;
pub mod sse;
pub mod watcher;
