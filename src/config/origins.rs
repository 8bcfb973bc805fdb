//! Origins of web pages, as `CORS_ALLOWED_ORIGINS` and `PUBLIC_READ_CORS` name them and as browsers send them.
//!
//! An origin is a scheme, a host and a port (RFC 6454). They are compared as such: the case of scheme and host does not count, nor does a port that is the
//! scheme's own.

use anyhow::{bail, ensure};

/// Which origins are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    all: bool,
    named: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `null`: files, and frames that are kept apart.
    Opaque,
    /// In lower case, without a default port.
    Exact(String),
    /// Whatever stands below a host: `scheme://`, then anything, then `.example.com:port`.
    Below { scheme: String, end: String },
}

impl Origins {
    /// Reads a list with commas. An error says which item can never match, and why.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut origins = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item {
                "*" => origins.all = true,
                item => origins.named.push(Pattern::parse(item)?),
            }
        }
        Ok(origins)
    }

    /// The same as sources of `frame-ancestors` in a content security policy.
    pub fn frame_ancestors(&self) -> anyhow::Result<String> {
        if self.all {
            return Ok("*".to_owned());
        }
        let sources = self.named.iter().map(Pattern::source).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(if sources.is_empty() { "'none'".to_owned() } else { sources.join(" ") })
    }

    /// Whether nobody is meant.
    pub fn is_empty(&self) -> bool {
        !self.all && self.named.is_empty()
    }

    /// Whether the origin that a browser sent is meant.
    pub fn contain(&self, origin: &[u8]) -> bool {
        if self.all {
            return true;
        }
        let Ok(origin) = std::str::from_utf8(origin) else { return false };
        let origin = plain(origin);
        self.named.iter().any(|pattern| match pattern {
            Pattern::Opaque => origin == "null",
            Pattern::Exact(exact) => origin == *exact,
            Pattern::Below { scheme, end } => origin.strip_prefix(&**scheme).is_some_and(|host| {
                host.strip_suffix(&**end).is_some_and(|name| !name.is_empty() && !name.starts_with('.') && is_name(name))
            }),
        })
    }
}

impl Pattern {
    fn parse(item: &str) -> anyhow::Result<Self> {
        if item == "null" {
            return Ok(Self::Opaque);
        }
        let Some((scheme, rest)) = item.split_once("://") else {
            bail!("{item} is no origin: it has to begin with a scheme, such as https://")
        };
        ensure!(is_scheme(scheme), "{item} is no origin: {scheme} is no scheme");
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        ensure!(
            !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ']),
            "{item} is no origin, which is a scheme, a host and a port, and nothing else"
        );
        if let Some(below) = authority.strip_prefix("*.") {
            ensure!(!below.contains('*'), "{item}: a * can only stand for all hosts below another, as in https://*.example.com");
            let scheme = format!("{}://", scheme.to_ascii_lowercase());
            let exact = plain(&ascii(item, &format!("{scheme}{below}"))?);
            return Ok(Self::Below { end: format!(".{}", &exact[scheme.len()..]), scheme });
        }
        ensure!(!authority.contains('*'), "{item}: a * can only stand for all hosts below another, as in https://*.example.com");
        Ok(Self::Exact(plain(&ascii(item, &format!("{scheme}://{authority}"))?)))
    }

    /// The origin as a content security policy names it (Content Security Policy Level 3, 2.3.1).
    fn source(&self) -> anyhow::Result<String> {
        let (source, host) = match self {
            Self::Opaque => bail!("null can never match: a page of no origin cannot be named as the one around a frame"),
            Self::Exact(exact) => (exact.clone(), exact.split_once("://").map_or("", |(_, host)| host)),
            Self::Below { scheme, end } => (format!("{scheme}*{end}"), &end[1..]),
        };
        let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
        ensure!(is_name(name), "{source} can never match: a policy names hosts by letters, digits, hyphens and dots alone");
        Ok(source)
    }
}

/// The origin as browsers write it: names of other scripts in ASCII, addresses in their shortest form. Hosts of schemes that browsers do not know are left alone.
fn ascii(item: &str, origin: &str) -> anyhow::Result<String> {
    let url = url::Url::parse(origin).map_err(|error| anyhow::anyhow!("{item} is no origin: {error}"))?;
    ensure!(url.host_str().is_some_and(|host| !host.is_empty()), "{item} is no origin: it names no host");
    let known = url.origin();
    Ok(if known.is_tuple() { known.ascii_serialization() } else { origin.to_owned() })
}

/// In lower case, and without the scheme's own port.
fn plain(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    let own = match origin.split_once("://") {
        Some(("https", _)) => ":443",
        Some(("http", _)) => ":80",
        _ => return origin,
    };
    origin.strip_suffix(own).map(str::to_owned).unwrap_or(origin)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Labels with dots, and nothing that could end a host.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(list: &str, origin: &str) -> bool {
        Origins::parse(list).unwrap().contain(origin.as_bytes())
    }

    #[test]
    fn origins_are_sources_of_a_policy() {
        let sources = |list: &str| Origins::parse(list).and_then(|origins| origins.frame_ancestors());
        assert_eq!(sources("*").unwrap(), "*");
        assert_eq!(sources("").unwrap(), "'none'");
        assert_eq!(
            sources("https://A.example:443, https://*.b.example:8443").unwrap(),
            "https://a.example https://*.b.example:8443"
        );
        assert_eq!(
            sources("capacitor://localhost, http://127.0.0.1:3000").unwrap(),
            "capacitor://localhost http://127.0.0.1:3000"
        );
        // Whatever could end the source, or the directive, is none either.
        for never in ["null", "http://[::1]:3000", "http://[::1]", "app://x;sandbox", "app://x,y", "app://bücher", "app://'self'"]
        {
            assert!(sources(&format!("https://good.example, {never}")).is_err(), "{never}");
        }
    }

    #[test]
    fn origins_are_compared_as_origins() {
        for (list, origin) in [
            ("https://game.example", "https://game.example"),
            ("HTTPS://Game.Example/", "https://game.example"),
            ("https://game.example:443", "https://game.example"),
            ("https://game.example", "https://game.example:443"),
            ("http://game.example:80", "http://game.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("null", "null"),
            ("*", "https://anything.example"),
            ("https://a.example, https://b.example ,", "https://b.example"),
        ] {
            assert!(contain(list, origin), "{list} {origin}");
        }
        for (list, origin) in [
            ("https://game.example", "http://game.example"),
            ("https://game.example", "https://game.example:8443"),
            ("http://game.example:443", "http://game.example"),
            ("https://game.example", "https://game.example.evil.example"),
            ("https://game.example", "null"),
            ("", "https://game.example"),
        ] {
            assert!(!contain(list, origin), "{list} {origin}");
        }
    }

    #[test]
    fn a_star_stands_for_all_hosts_below() {
        let list = "https://*.example.com, http://*.local.test:8080, https://*.BÜCHER.example:443";
        for origin in [
            "https://a.example.com",
            "https://A.B.Example.com:443",
            "http://x.local.test:8080",
            "https://a.xn--bcher-kva.example",
        ] {
            assert!(contain(list, origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://.example.com",
            "https://a.example.com.evil.test",
            "https://evil.test/.example.com",
            "https://evil.test#.example.com",
            "https://evil@a.example.com",
            "http://x.local.test",
            "null",
        ] {
            assert!(!contain(list, origin), "{origin}");
        }
    }

    #[test]
    fn what_can_never_match_is_refused_with_a_reason() {
        for bad in [
            "game.example",
            "https://",
            "https:///",
            "https://game.example/app",
            "https://game.example?x",
            "https://user@game.example",
            "https://*",
            "https://*.*.example",
            "https://a.*.example",
            "https://*example.com",
            "*.example.com",
            "https://game.example:port",
            "https://game.example:99999",
            "https://a b.example",
            "://game.example",
            "1http://game.example",
            "https://*.",
            "https://a.example;https://b.example",
        ] {
            let refused = Origins::parse(&format!("https://good.example, {bad}"));
            assert!(refused.is_err_and(|error| error.to_string().contains(bad)), "{bad}");
        }
    }
}
