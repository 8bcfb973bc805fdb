//! Sockets to the server from several loopback addresses: one address has 28,000 ephemeral ports and, by default, leave for 10,000 streams.

use std::{
    io::{ErrorKind, Result},
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

/// Streams and connections that share one loopback address.
const PER_ADDRESS: usize = 5_000;

/// Where a connection comes from is chosen here: asked for any port, the kernel walks through all that are taken, which costs a millisecond
/// once thousands are.
const FIRST_PORT: u16 = 33_000;
const PORTS: usize = 27_000;
static NEXT_PORT: AtomicUsize = AtomicUsize::new(0);

/// Connects; connections with other indices may come from other addresses.
pub async fn connect(server: SocketAddr, index: usize) -> Result<TcpStream> {
    if server.is_ipv6() {
        let socket = TcpSocket::new_v6()?;
        socket.set_nodelay(true)?;
        return socket.connect(server).await;
    }
    let address = Ipv4Addr::new(127, 0, 0, (1 + index / PER_ADDRESS % 200) as u8);
    for _ in 0..PORTS {
        let port = FIRST_PORT + (NEXT_PORT.fetch_add(1, Relaxed) % PORTS) as u16;
        match connect_from((address, port).into(), server).await {
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            connected => return connected,
        }
    }
    Err(ErrorKind::AddrNotAvailable.into())
}

async fn connect_from(client: SocketAddr, server: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Ports of connections that ended a moment ago serve again.
    socket.set_reuseaddr(true)?;
    socket.bind(client)?;
    socket.set_nodelay(true)?;
    socket.connect(server).await
}

/// Raises the soft limit of open files as far as it may go; fails where that is not enough.
pub fn allow(count: usize) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let most = limit.maximum.unwrap_or(u64::MAX);
    ensure!(count as u64 + 50 < most, "{count} connections, but this process may open {most} files only: see ulimit -n");
    Ok(())
}
