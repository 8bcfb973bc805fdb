//! `scoreboard health`: what a container's health check runs, so that the image needs no other program.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;

/// Whom to ask.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where the server listens; an unspecified address is asked on loopback.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080")]
    listen_addr: SocketAddr,
}

/// Asks `/readyz`; an error where the answer is not 200.
pub async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let mut address = args.listen_addr;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build()?;
    let response = client.get(format!("http://{address}/readyz")).send().await.context("nobody answers")?;
    let (status, body) = (response.status(), response.text().await.unwrap_or_default());
    println!("{body}");
    if !status.is_success() {
        bail!("not ready: {status}");
    }
    Ok(())
}
