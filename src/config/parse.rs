//! Values that several settings have, from their text. An error completes the sentence "invalid value for this setting: …".

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for every address of this machine. Of several addresses that a name has, the first of
/// version 4, because a browser that is told to go to `localhost` tries both.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let shape = || format!("{text} is no address; it has to look like 127.0.0.1:8080, [::1]:8080, localhost:8080 or :8080");
    let (host, port) = text.rsplit_once(':').ok_or_else(shape)?;
    let port: u16 = port.parse().map_err(|_| shape())?;
    if host.is_empty() {
        return Ok(everywhere(port));
    }
    if host.contains([':', '[', ']', '/']) {
        return Err(shape());
    }
    let found: Vec<_> = (host, port).to_socket_addrs().map_err(|error| format!("{host} is not known here: {error}"))?.collect();
    let found = found.iter().find(|address| address.is_ipv4()).or(found.first());
    found.copied().ok_or_else(|| format!("{host} has no address"))
}

/// The address that takes both versions, where this machine has version 6.
fn everywhere(port: u16) -> SocketAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
        Err(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
    }
}

/// A number that cannot be 0.
pub fn positive<N: TryFrom<u32>>(text: &str) -> Result<N, String> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number
        .and_then(|number: u32| N::try_from(number).ok())
        .ok_or_else(|| format!("it has to be a whole number from 1 to {}", u32::MAX))
}

pub(crate) fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn an_address_may_be_a_name_or_a_port_alone() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (" 0.0.0.0:0 ", "0.0.0.0:0"),
            ("[::1]:8080", "[::1]:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        let everywhere = address(":8080").unwrap();
        assert!(everywhere.ip().is_unspecified() && everywhere.port() == 8080, "{everywhere}");
        for bad in
            ["", "8080", "localhost", "localhost:", ":http", ":99999", "::1:8080", "http://localhost:8080", "127.0.0.1:8080/x"]
        {
            assert!(address(bad).unwrap_err().contains("8080"), "{bad}");
        }
        assert!(address("no-such-host.invalid:80").unwrap_err().contains("no-such-host.invalid"));
    }

    #[test]
    fn nothing_is_no_number_of_things() {
        assert_eq!(positive::<usize>("7"), Ok(7));
        for bad in ["0", "-1", "1.5", "many", "", "4294967296"] {
            assert!(positive::<NonZeroU32>(bad).unwrap_err().contains("from 1 to"), "{bad}");
        }
    }
}
