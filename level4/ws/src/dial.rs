//! Where the bytes of a connection come from.

use std::io;
use std::sync::Arc;

use http::Uri;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::SetupError;

/// Opens the bytes that a web socket speaks over.
pub trait Dial: Send + Sync + 'static {
    /// An open stream in both directions. Dropping it closes it.
    type Bytes: AsyncRead + AsyncWrite + Send + Unpin;

    /// Opens one.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Bytes>> + Send;
}

/// Opens TCP connections to one host, with TLS for a `wss` address.
#[derive(Debug, Clone)]
pub struct Tcp {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Tcp {
    pub(crate) fn plain(url: &Uri) -> Self {
        Self { host: host(url).to_owned(), port: url.port_u16().unwrap_or(80), tls: None }
    }

    pub(crate) fn with_tls(url: &Uri, config: Arc<ClientConfig>) -> Result<Self, SetupError> {
        let host = host(url).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| SetupError::Url {
            url: url.to_string(),
            why: format!("no certificate can name the host: {error}"),
        })?;
        Ok(Self { host, port: url.port_u16().unwrap_or(443), tls: Some((config, name)) })
    }
}

impl Dial for Tcp {
    type Bytes = Either<TcpStream, TlsStream<TcpStream>>;

    async fn dial(&self) -> io::Result<Self::Bytes> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // A frame is written as a whole: there is nothing to wait for.
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Either::Left(stream)),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Ok(Either::Right(connector.connect(name.clone(), stream).await?))
            }
        }
    }
}

/// The host, without the brackets that an address of IPv6 has in a URL.
fn host(url: &Uri) -> &str {
    let host = url.host().unwrap_or_default();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// TLS with ring and the certificates that the machine trusts.
pub(crate) fn trusts_what_the_machine_does() -> Result<Arc<ClientConfig>, SetupError> {
    let refused = |error: rustls::Error| SetupError::Tls(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_platform_verifier()
        .map_err(refused)?
        .with_no_client_auth();
    Ok(Arc::new(config))
}
