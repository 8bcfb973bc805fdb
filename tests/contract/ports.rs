//! Ports for servers of a test's own.

use std::{
    net::TcpListener,
    ops::Range,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which the kernel takes ports by itself, for port 0 and for every outgoing connection: so nobody takes a port before
/// its server has begun to listen, or while it is down. The servers of `tests/servers.sh` lie above.
const PORTS: Range<u16> = 10_000..20_000;

/// A port that is free at this moment, and that no other test of this program gets.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs that run beside each other begin at different places.
    let first = std::process::id().wrapping_mul(7919);
    for _ in PORTS {
        let turn = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into());
        let port = PORTS.start + (turn % PORTS.len() as u32) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("all ports of {PORTS:?} are taken");
}
