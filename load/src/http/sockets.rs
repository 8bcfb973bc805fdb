//! Sockets to the server from several loopback addresses: one address has 28,000 ephemeral ports and, by default, leave for 10,000 streams.

use std::{
    io::Result,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

/// Streams and connections that share one loopback address.
const PER_ADDRESS: usize = 5_000;

/// Connects; connections with other indices may come from other addresses.
pub async fn connect(server: SocketAddr, index: usize) -> Result<TcpStream> {
    let socket = match server {
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
        SocketAddr::V4(_) => {
            let socket = TcpSocket::new_v4()?;
            // Ports of connections that ended a moment ago serve again.
            socket.set_reuseaddr(true)?;
            let last = (1 + index / PER_ADDRESS % 200) as u8;
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
            socket
        }
    };
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
