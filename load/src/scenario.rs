//! What is asked of a server, one file a scenario.

pub mod batch;
pub mod climb;
pub mod crash;
pub mod fanout;
pub mod history;
pub mod idle;
pub mod mixed;
pub mod prefill;
pub mod read;
pub mod soak;
pub mod storm;
pub mod streams;
pub mod submit;
pub mod unread;
