//! Where the server listens and whom it trusts.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use clap::Args;
use ipnet::IpNet;

use super::given;

/// Addresses, proxies, origins and the rate limit.
#[derive(Debug, Clone, Args)]
pub struct HttpSettings {
    /// Where clients connect.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080")]
    pub listen_addr: SocketAddr,
    /// Where `/metrics` is served instead of on `LISTEN_ADDR`.
    #[arg(long, env = "INTERNAL_ADDR")]
    pub internal_addr: Option<String>,
    /// The certificate chain in PEM: with it and `TLS_KEY_FILE`, `LISTEN_ADDR` speaks TLS. Both files are taken over anew when they change.
    #[arg(long, env = "TLS_CERT_FILE")]
    pub tls_cert_file: Option<String>,
    /// The certificate's private key in PEM.
    #[arg(long, env = "TLS_KEY_FILE")]
    pub tls_key_file: Option<String>,
    /// Origins whose pages may call the API, separated by commas; `*` for all.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS")]
    pub cors_allowed_origins: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or networks, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<String>,
    /// Requests to `/api` a caller may make a second in the long run. The default stops a runaway loop, not a busy game backend.
    #[arg(long, env = "RATE_LIMIT_PER_SECOND", default_value = "20000")]
    pub rate_limit_per_second: NonZeroU32,
    /// Requests a caller may make at once.
    #[arg(long, env = "RATE_LIMIT_BURST", default_value = "40000")]
    pub rate_limit_burst: NonZeroU32,
    /// Connections at the most; further ones wait to be accepted. Not set: what the limit of open files leaves.
    #[arg(long, env = "MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// Connections of one client address (IPv6: one /64) at the most, trusted proxies excepted; never all that there are. Not set: half of them, and
    /// enough for its streams.
    #[arg(long, env = "CONNECTIONS_PER_IP")]
    pub connections_per_ip: Option<usize>,
}

impl HttpSettings {
    /// The address for `/metrics` alone, where there is one.
    pub fn internal_addr(&self) -> anyhow::Result<Option<SocketAddr>> {
        given(&self.internal_addr)
            .map(|addr| addr.parse().map_err(|_| anyhow::anyhow!("INTERNAL_ADDR is no address: {addr}")))
            .transpose()
    }

    /// The certificate's and the key's file, where TLS is spoken.
    pub fn tls_files(&self) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
        match (given(&self.tls_cert_file), given(&self.tls_key_file)) {
            (Some(cert), Some(key)) => Ok(Some((Path::new(cert).to_owned(), Path::new(key).to_owned()))),
            (None, None) => Ok(None),
            _ => anyhow::bail!("TLS_CERT_FILE and TLS_KEY_FILE need each other"),
        }
    }

    /// The origins in `CORS_ALLOWED_ORIGINS`.
    pub fn cors_allowed_origins(&self) -> Vec<String> {
        list(&self.cors_allowed_origins).map(|origin| origin.trim_end_matches('/').to_owned()).collect()
    }

    /// The networks in `TRUSTED_PROXIES`.
    pub fn trusted_proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        list(&self.trusted_proxies)
            .map(|text| {
                let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
                network.ok_or_else(|| anyhow::anyhow!("TRUSTED_PROXIES holds what is neither an address nor a network: {text}"))
            })
            .collect()
    }
}

fn list(value: &Option<String>) -> impl Iterator<Item = &str> {
    given(value).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}
