//! How this server was reached: what its pages may rely on, and others' may not.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::problem::Problem;

/// Whether the request came over TLS: to this server, or to a trusted proxy that says so.
#[derive(Debug, Clone, Copy)]
pub struct Secure(pub bool);

/// Goes with an answer that pages of others may frame: its policy says which.
#[derive(Debug, Clone, Copy)]
pub struct Framed;

/// The address that the client used, and the page that it was used by.
#[derive(Debug, Clone)]
pub struct Site {
    pub secure: bool,
    /// Host and port, as the client wrote them.
    host: Option<String>,
    /// The origin of the page, as the browser tells it.
    origin: Option<String>,
}

impl Site {
    /// Whether a page of this server made the request: its origin is the one given, or the address that it was sent to.
    pub fn is_own(&self, public_origin: Option<&str>) -> bool {
        let Some(origin) = self.origin.as_deref() else { return false };
        let scheme = if self.secure { "https" } else { "http" };
        let here = self.host.as_deref().map(|host| format!("{scheme}://{host}"));
        [public_origin, here.as_deref()].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(origin))
    }
}

impl<S: Sync> FromRequestParts<S> for Site {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let secure = parts.extensions.get::<Secure>().is_some_and(|secure| secure.0);
        let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or_else(|| text(header::HOST));
        Ok(Self { secure, host, origin: text(header::ORIGIN) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(secure: bool, host: &str, origin: Option<&str>) -> Site {
        Site { secure, host: Some(host.to_owned()), origin: origin.map(str::to_owned) }
    }

    #[test]
    fn only_pages_of_this_server_are_its_own() {
        assert!(site(false, "localhost:8080", Some("http://localhost:8080")).is_own(None));
        assert!(site(true, "Scores.example.com", Some("https://scores.example.com")).is_own(None));
        assert!(site(false, "10.0.0.1:8080", Some("https://scores.example.com")).is_own(Some("https://scores.example.com")));
        for (secure, origin) in [
            (true, None),
            (true, Some("null")),
            (true, Some("http://scores.example.com")),
            (false, Some("https://scores.example.com")),
            (true, Some("https://evil.example.com")),
            (true, Some("https://scores.example.com.evil.org")),
            (true, Some("https://scores.example.com:8443")),
        ] {
            assert!(!site(secure, "scores.example.com", origin).is_own(None), "{secure} {origin:?}");
        }
    }
}
