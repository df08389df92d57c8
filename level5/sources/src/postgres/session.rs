//! Connections to a server.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::PostgresError;

/// How long a connection may take, where the URL says nothing else.
const CONNECT: Duration = Duration::from_secs(5);

/// An open connection. It is closed when this is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    /// Moves the bytes. It ends with the session.
    _connection: AbortOnDropHandle<()>,
}

/// Makes connections.
pub(super) struct Connector {
    config: Config,
    tls: Option<ClientConfig>,
}

impl Connector {
    pub(super) fn new(url: &str) -> Result<Self, PostgresError> {
        let config: Result<Config, _> = url.parse();
        let mut config = config.map_err(|error| PostgresError::Url(cause(&error)))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("level5-sources");
        }
        Ok(Self { config, tls: None })
    }

    pub(super) fn set_tls(&mut self, tls: ClientConfig) {
        self.tls = Some(tls);
    }

    /// The host and the database, without the password.
    pub(super) fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => "no host".to_owned(),
        };
        format!("{host}/{}", self.config.get_dbname().unwrap_or_default())
    }

    pub(super) async fn connect(&self) -> Result<Session, PostgresError> {
        let failed = |error| {
            let (place, why) = (self.place(), cause(&error));
            PostgresError::Connection { place, why }
        };
        if self.config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
            // Its error is the client's too, which the next call reports.
            let connection = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
            return Ok(Session { client, _connection: connection });
        }
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => of_the_machine()?,
        };
        let tls = MakeRustlsConnect::new(tls);
        let (client, connection) = self.config.connect(tls).await.map_err(failed)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
        Ok(Session { client, _connection: connection })
    }
}

/// TLS with the authorities of the machine.
fn of_the_machine() -> Result<ClientConfig, PostgresError> {
    let failed = |error: rustls::Error| PostgresError::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
    let verifier = Arc::new(verifier.map_err(failed)?);
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(failed)?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The texts of an error and of its causes, the outermost first.
pub(super) fn cause(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
