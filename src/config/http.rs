//! Where the server listens and whom it trusts.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use ipnet::{IpNet, Ipv4Net};

use super::{given, origins::Origins, parse};

/// Addresses, proxies, origins and the rate limit.
#[derive(Debug, Clone, Args)]
pub struct HttpSettings {
    /// Where clients connect.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080", value_parser = parse::address)]
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
    /// Origins whose pages may send tokens and change things, separated by commas; `https://*.example.com` for all below, `*` for all.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS")]
    pub cors_allowed_origins: Option<String>,
    /// Origins whose pages may read and stream public leaderboards, without credentials; `none` for none.
    #[arg(long, env = "PUBLIC_READ_CORS", default_value = "*")]
    pub public_read_cors: String,
    /// Origins whose pages may frame `/boards/{id}/embed` and `/boards/{id}/overlay`; `none` for none.
    #[arg(long, env = "EMBED_ORIGINS", default_value = "*")]
    pub embed_origins: String,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or networks, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<String>,
    /// Requests to `/api` a caller may make a second in the long run. The default stops a runaway loop, not a busy game backend.
    #[arg(long, env = "RATE_LIMIT_PER_SECOND", default_value = "20000", value_parser = parse::positive::<NonZeroU32>)]
    pub rate_limit_per_second: NonZeroU32,
    /// Requests a caller may make at once.
    #[arg(long, env = "RATE_LIMIT_BURST", default_value = "40000", value_parser = parse::positive::<NonZeroU32>)]
    pub rate_limit_burst: NonZeroU32,
    /// Connections at the most, within what the limit of open files leaves; further ones wait to be accepted. Not set: all of that.
    #[arg(long, env = "MAX_CONNECTIONS", value_parser = parse::positive::<usize>)]
    pub max_connections: Option<usize>,
    /// Connections of one client address (IPv6: one /64) at the most, trusted proxies excepted; never all that there are. Not set: half of them, and
    /// enough for its streams.
    #[arg(long, env = "CONNECTIONS_PER_IP", value_parser = parse::positive::<usize>)]
    pub connections_per_ip: Option<usize>,
}

impl HttpSettings {
    /// The address for `/metrics` alone, where there is one.
    pub fn internal_addr(&self) -> anyhow::Result<Option<SocketAddr>> {
        given(&self.internal_addr)
            .map(|addr| parse::address(addr).map_err(|why| anyhow::anyhow!("INTERNAL_ADDR: {why}")))
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

    /// The origins in `CORS_ALLOWED_ORIGINS` and in `PUBLIC_READ_CORS`.
    pub fn origins(&self) -> anyhow::Result<[Origins; 2]> {
        let allowed = Origins::parse(given(&self.cors_allowed_origins).unwrap_or_default()).context("CORS_ALLOWED_ORIGINS")?;
        let public_read = Some(self.public_read_cors.trim()).filter(|list| *list != "none").unwrap_or_default();
        Ok([allowed, Origins::parse(public_read).context("PUBLIC_READ_CORS")?])
    }

    /// The origins in `EMBED_ORIGINS`, as sources of a content security policy.
    pub fn frame_ancestors(&self) -> anyhow::Result<String> {
        let list = Some(self.embed_origins.trim()).filter(|list| *list != "none").unwrap_or_default();
        Origins::parse(list).and_then(|origins| origins.frame_ancestors()).context("EMBED_ORIGINS")
    }

    /// The networks in `TRUSTED_PROXIES`.
    pub fn trusted_proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        list(&self.trusted_proxies)
            .map(|text| {
                let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
                let network = network.map(canonical);
                network.ok_or_else(|| anyhow::anyhow!("TRUSTED_PROXIES holds what is neither an address nor a network: {text}"))
            })
            .collect()
    }
}

/// A network of version 4 that is written as one of version 6, as addresses are compared.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let address = mapped.addr().to_ipv4_mapped();
    let network4 = address.zip(mapped.prefix_len().checked_sub(96)).and_then(|(address, len)| Ipv4Net::new(address, len).ok());
    network4.map_or(network, IpNet::V4)
}

fn list(value: &Option<String>) -> impl Iterator<Item = &str> {
    given(value).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_network_is_the_one_it_stands_for() {
        for (text, expected) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1/128", "10.0.0.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(canonical(text.parse().unwrap()).to_string(), expected, "{text}");
        }
    }
}
