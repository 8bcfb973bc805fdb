//! TLS by rustls, with a certificate that can be replaced while the server runs: its renewal writes the files, without a
//! restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::socket::Counted;

/// How often the files are checked.
const LOOK: Duration = Duration::from_secs(2);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: ArcSwap<Loaded>,
}

/// The files' contents, so that changes are detected by content: a file's time may change without a change of content, and may
/// stay the same despite one.
struct Loaded {
    pems: [Vec<u8>; 2],
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a certificate chain and its private key, both PEM.
    pub fn load(cert_file: &Path, key_file: &Path) -> anyhow::Result<Arc<Self>> {
        let loaded = Loaded::of(read(cert_file, key_file)?)?;
        Ok(Arc::new(Self {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            current: ArcSwap::from_pointee(loaded),
        }))
    }

    /// Performs the handshake with a client; `None` if it fails, which is normal on the internet.
    pub(super) async fn accept(&self, stream: Counted) -> Option<TlsStream<Counted>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.load().config));
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }

    /// Loads new files, for as long as it is polled. Files that do not match, as while one is written before the other, change
    /// nothing until they do.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut refused = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(pems) = read(&self.cert_file, &self.key_file) else { continue };
            if pems == self.current.load().pems || Some(&pems) == refused.as_ref() {
                continue;
            }
            match Loaded::of(pems.clone()) {
                Ok(loaded) => {
                    self.current.store(Arc::new(loaded));
                    tracing::info!("the TLS certificate was replaced");
                }
                Err(error) => {
                    tracing::warn!(%error, "the new TLS certificate is not usable, the old one stays");
                    refused = Some(pems);
                }
            }
        }
    }
}

impl Loaded {
    fn of(pems: [Vec<u8>; 2]) -> anyhow::Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pems[0])
            .collect::<Result<_, _>>()
            .context("TLS_CERT_FILE holds no certificates in PEM")?;
        let key = PrivateKeyDer::from_pem_slice(&pems[1]).context("TLS_KEY_FILE holds no private key in PEM")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("TLS_CERT_FILE and TLS_KEY_FILE do not fit each other")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { pems, config: Arc::new(config) })
    }
}

fn read(cert_file: &Path, key_file: &Path) -> anyhow::Result<[Vec<u8>; 2]> {
    let cert = std::fs::read(cert_file).context("TLS_CERT_FILE cannot be read")?;
    Ok([cert, std::fs::read(key_file).context("TLS_KEY_FILE cannot be read")?])
}
