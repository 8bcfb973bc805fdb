//! `scoreboard health`: what a container's health check runs, so that the image needs no other program.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long the whole question may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whom to ask.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where the server listens; an unspecified address is asked on loopback.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080", value_parser = crate::config::parse::address)]
    listen_addr: SocketAddr,
    /// The server's certificate, where it speaks TLS.
    #[arg(long, env = "TLS_CERT_FILE")]
    tls_cert_file: Option<String>,
}

/// Asks `/readyz`; an error where the answer is not 200.
pub async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let mut address = args.listen_addr;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let cert_file = args.tls_cert_file.as_deref().filter(|file| !file.is_empty());
    let answer = timeout(PATIENCE, ask(address, cert_file)).await.context("no answer in time")?.context("nobody answers")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    println!("{body}");
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("not ready: {status}");
    }
    Ok(())
}

async fn ask(address: SocketAddr, cert_file: Option<&str>) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let Some(cert_file) = cert_file else { return exchange(stream).await };
    let connector = TlsConnector::from(Arc::new(trusting_only(Path::new(cert_file))?));
    exchange(connector.connect(ServerName::IpAddress(address.ip().into()), stream).await?).await
}

/// HTTP/1.0, so that the answer is all that comes until the end.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<String> {
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer)?)
}

/// The check is about the server on this machine, whose certificate names it as the world knows it: what counts is that it is that very one.
fn trusting_only(cert_file: &Path) -> anyhow::Result<ClientConfig> {
    let chain = std::fs::read(cert_file).context("TLS_CERT_FILE cannot be read")?;
    let certificate = CertificateDer::from_pem_slice(&chain).context("TLS_CERT_FILE holds no certificate in PEM")?;
    ensure!(!certificate.is_empty(), "TLS_CERT_FILE holds an empty certificate");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let only = Arc::new(Only { certificate, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(only).with_no_client_auth())
}

/// Accepts one certificate and no other.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate than TLS_CERT_FILE's".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
