//! Connects to PostgreSQL: the URL, our additions to it, and TLS.

use std::{sync::Arc, time::Duration};

use diesel::ConnectionError;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode, SslNegotiation},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Conn, LedgerError,
    sqlstate::{FirstError, Watching},
};
use crate::repositories::cause::Cause;

/// Sent to the server if the URL has no `options` of its own. A statement or a transaction that outlives its caller would hold
/// locks that others wait for; and a reader that counts a large board gets one processor, not all of them.
const SESSION: &str =
    "-c statement_timeout=4000 -c idle_in_transaction_session_timeout=10000 -c max_parallel_workers_per_gather=0";

/// A parsed `postgres://` URL.
#[derive(Clone)]
pub struct Server {
    config: Arc<Config>,
    tls: Option<MakeRustlsConnect>,
    /// Whether the codes of errors can be read. tokio-postgres wraps no stream to a Unix socket or to an address without a
    /// name.
    watched: bool,
}

/// A connection, and the first error that it received.
pub struct Dialled {
    pub conn: Conn,
    pub first_error: Arc<FirstError>,
}

impl Server {
    /// Parses what libpq accepts, with these differences: `sslmode` is plain unless it is `require`, `verify-ca` or
    /// `verify-full`, all of which verify the server's certificate and name, against `sslrootcert` if given, else against the
    /// system's authorities; and `tcp_user_timeout` is in seconds.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        // The text may hold a password: no message repeats it.
        let invalid = |why: &str| LedgerError::Unusable(format!("the database URL is not understood: {why}"));
        let mut url = url::Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        let (mut mode, mut roots, mut rest) = (String::new(), None, Vec::new());
        for (name, value) in url.query_pairs() {
            match &*name {
                "sslmode" => mode = value.into_owned(),
                "sslrootcert" => roots = Some(value.into_owned()),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            // Percent-encoded by hand: tokio-postgres does not read '+' as a space.
            let pairs: Vec<_> = rest.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        let mut config: Config = url.as_str().parse().map_err(|error: tokio_postgres::Error| invalid(&error.to_string()))?;
        let secure = match mode.as_str() {
            "" | "disable" | "allow" | "prefer" => false,
            "require" | "verify-ca" | "verify-full" => true,
            _ => return Err(invalid("sslmode must be disable, prefer, require, verify-ca or verify-full")),
        };
        let named = !config.get_hosts().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
        match (secure, named) {
            (true, _) => config.ssl_mode(SslMode::Require),
            // "Direct" TLS with a connector that uses no TLS: only the wrapped stream.
            (false, true) => config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct),
            (false, false) => config.ssl_mode(SslMode::Disable),
        };
        add_defaults(&mut config);
        let tls = if secure { Some(tls(roots.as_deref())?) } else { None };
        Ok(Self { config: Arc::new(config), watched: secure || named, tls })
    }

    /// Opens a connection.
    pub async fn dial(&self) -> Result<Dialled, LedgerError> {
        let first_error = Arc::<FirstError>::default();
        let conn = if self.watched {
            let watching = Watching { tls: self.tls.clone(), first_error: Arc::clone(&first_error) };
            let (client, connection) = self.config.connect(watching).await.map_err(|error| refused(&error))?;
            Conn::try_from_client_and_connection(client, connection).await.map_err(unfit)?
        } else {
            let (client, connection) = self.config.connect(NoTls).await.map_err(|error| refused(&error))?;
            Conn::try_from_client_and_connection(client, connection).await.map_err(unfit)?
        };
        Ok(Dialled { conn, first_error })
    }
}

/// Why there is no connection. A retry does not help if access is denied or the database does not exist.
fn refused(error: &tokio_postgres::Error) -> LedgerError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let reason = format!("{error}{cause}");
    let for_good = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    match error.code() {
        Some(code) if for_good.contains(code) => LedgerError::Unusable(reason),
        _ => LedgerError::Unavailable(reason.into()),
    }
}

fn unfit(error: ConnectionError) -> LedgerError {
    LedgerError::Unavailable(Cause::of(error))
}

/// A network that drops packets must not hang a call for ever, nor leave a dead connection in the pool.
fn add_defaults(config: &mut Config) {
    if config.get_options().is_none() {
        config.options(SESSION);
    }
    if config.get_application_name().is_none() {
        config.application_name("scoreboard");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(2));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(5));
    }
    config.keepalives_idle(Duration::from_secs(30));
}

fn tls(roots_file: Option<&str>) -> Result<MakeRustlsConnect, LedgerError> {
    let unusable = |why: String| LedgerError::Unusable(format!("TLS to the database: {why}"));
    let mut roots = RootCertStore::empty();
    match roots_file {
        Some(file) => {
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(format!("{file}: {error}")))? {
                let certificate = certificate.map_err(|error| unusable(format!("{file}: {error}")))?;
                roots.add(certificate).map_err(|error| unusable(format!("{file}: {error}")))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                return Err(unusable(format!("no certificate authorities were found on this system {:?}", found.errors)));
            }
            roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b',' | b':');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_own_options() {
        let server = Server::parse("postgres://u:p@db/x?options=-c%20statement_timeout%3D7&connect_timeout=9").unwrap();
        assert_eq!(server.config.get_options(), Some("-c statement_timeout=7"));
        assert_eq!(server.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert!(server.tls.is_none());
    }

    #[test]
    fn statements_have_a_time_limit() {
        let server = Server::parse("postgres://u@db/x").unwrap();
        assert_eq!(server.config.get_options(), Some(SESSION));
    }

    #[test]
    fn verify_full_is_tls() {
        let system_roots_may_be_missing = Server::parse("postgres://u@db/x?sslmode=verify-full");
        assert!(system_roots_may_be_missing.is_err() || system_roots_may_be_missing.is_ok_and(|server| server.tls.is_some()));
        assert!(Server::parse("postgres://u@db/x?sslmode=nonsense").is_err());
    }

    #[test]
    fn no_message_repeats_the_password() {
        let Err(error) = Server::parse("postgres://u:hunter2@db:notaport/x") else { panic!("understood") };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
