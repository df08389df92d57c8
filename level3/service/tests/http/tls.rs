//! Connections over TLS, and the replacement of the certificate. Real sockets, and a clock that runs.

use std::sync::Arc;
use std::time::Duration;

use gateway_service::{ServiceConfig, Tls, TlsFiles};
use level3::gateway::GatewayConfig;
use level3_sim::NoFaults;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::shop::{PATIENCE, Shop};

/// A certificate for `localhost` in two files, as an operator places them.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn new() -> (Self, CertificateDer<'static>) {
        let certificate = Self { folder: tempfile::tempdir().unwrap() };
        let der = certificate.replace();
        (certificate, der)
    }

    fn files(&self) -> TlsFiles {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| self.folder.path().join(name));
        TlsFiles { certificate, key }
    }

    /// Writes another certificate: first the one file, then the other.
    fn replace(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = self.files();
        std::fs::write(files.certificate, made.cert.pem()).unwrap();
        std::fs::write(files.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }
}

/// A shop that listens with a certificate, and its address.
async fn listening(tls: Tls, config: ServiceConfig) -> (Shop, String) {
    let shop = Shop::with(NoFaults, GatewayConfig::default(), config).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = shop.service.clone();
    tokio::spawn(async move { service.serve(listener, Some(tls), std::future::pending()).await });
    (shop, address)
}

/// Connects as a client that trusts one certificate and offers these protocols.
async fn connect(
    address: &str,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, connecting).await.expect("a handshake")
}

/// Asks for the health on an open connection.
async fn is_healthy(stream: &mut TlsStream<TcpStream>) -> bool {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut part = [0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut part)).await.expect("an answer").unwrap();
        assert!(count > 0, "the connection was closed");
        answer.extend_from_slice(&part[..count]);
    }
    answer.starts_with(b"HTTP/1.1 200 OK\r\n")
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart() {
    let (certificate, first) = Certificate::new();
    let tls = Tls::read(certificate.files()).unwrap();
    // The open connection is idle meanwhile, on a busy machine for long.
    let config = ServiceConfig { head_timeout: PATIENCE, ..ServiceConfig::default() };
    let (_shop, address) = listening(tls.clone(), config).await;
    let following = tls.clone();
    tokio::spawn(async move { following.follow(Duration::from_millis(10)).await });

    let mut open = connect(&address, &first, &["h2", "http/1.1"]).await.unwrap();
    assert!(is_healthy(&mut open).await);
    // Files that cannot be used change nothing, whenever they are looked at.
    std::fs::write(certificate.files().key, "no key").unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(is_healthy(&mut connect(&address, &first, &[]).await.unwrap()).await);

    let second = certificate.replace();
    let replaced = async {
        loop {
            match connect(&address, &second, &[]).await {
                Ok(mut stream) => break is_healthy(&mut stream).await,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    assert!(timeout(PATIENCE, replaced).await.expect("the second certificate"));
    assert!(connect(&address, &first, &[]).await.is_err());
    assert!(is_healthy(&mut open).await, "an open connection goes on");
}

#[tokio::test]
async fn a_client_without_tls_gets_no_answer() {
    let (certificate, trusted) = Certificate::new();
    let tls = Tls::read(certificate.files()).unwrap();
    let (_shop, address) = listening(tls.clone(), ServiceConfig::default()).await;
    let refused = connect(&address, &trusted, &["h2"]).await;
    assert!(refused.is_err(), "the service speaks HTTP/1.1 only");
    assert!(is_healthy(&mut connect(&address, &trusted, &[]).await.unwrap()).await);

    let head_timeout = Duration::from_millis(200);
    let config = ServiceConfig { head_timeout, max_connections: 1, ..ServiceConfig::default() };
    let (_shop, address) = listening(tls, config).await;
    let rest = async |mut stream: TcpStream| {
        let mut text = Vec::new();
        // A reset is an end too.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the end");
        text
    };
    let mut plain = TcpStream::connect(&address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(!rest(plain).await.starts_with(b"HTTP"));
    // A client that begins no handshake occupies the only place until its time is over.
    let silent = [TcpStream::connect(&address).await, TcpStream::connect(&address).await];
    for stream in silent {
        assert!(rest(stream.unwrap()).await.is_empty());
    }
}
