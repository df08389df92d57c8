//! Where a server is and how to connect to it: the URL, and what the environment adds to it.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode as ClientMode};
use tokio_postgres::{Client, Config, NoTls};

use super::fault::{self, Fault};
use super::password::{self, Account, Found, Password};
use super::statements::CONFIGURE;
use super::tls::{Authorities, Channel, SslMode, Tls};
use crate::sql::StoreError;

/// Looks up a variable of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A server, a database and an account: what a URL and the environment say about a connection.
///
/// `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresAddress {
    config: Config,
    mode: SslMode,
    tls: Tls,
    /// Why a file with passwords was passed over.
    passed_over: Option<String>,
    /// Whether the connection stays on this machine.
    is_local: bool,
    pub(super) place: String,
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresAddress")
            .field("place", &self.place)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// A new connection.
pub(super) struct Connected {
    pub(super) client: Client,
    /// Whether it leaves this machine in the clear although the URL would have TLS.
    pub(super) is_exposed: bool,
}

impl PostgresAddress {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE&sslrootcert=FILE` and, for
    /// what it leaves out, the variables `PGPASSWORD`, `PGPASSWORD_FILE`, `PGPASSFILE`, `PGSSLMODE`
    /// and `PGSSLROOTCERT`. The [module](super) describes the modes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Url`], and [`StoreError::Authorities`] if the file with the authorities cannot
    /// be used. No error repeats a password.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Self::with_environment(url, &|name| env::var_os(name))
    }

    fn with_environment(url: &str, environment: Environment<'_>) -> Result<Self, StoreError> {
        let bad = |why: String| StoreError::Url { why };
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(bad("it does not begin with postgres://".to_owned()));
        }
        let Options { url, mode, authorities } = Options::split(url);
        let mut config: Config = url.parse().map_err(|error| bad(fault::why(&error)))?;
        let Some(host) = config.get_hosts().first() else {
            return Err(bad("it names no host".to_owned()));
        };
        let (host, is_local) = match host {
            Host::Tcp(host) => (host.clone(), is_loopback(host)),
            #[cfg(unix)]
            Host::Unix(path) => (path.display().to_string(), true),
        };
        let is_socket = !config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        // A socket stays within the machine, and PostgreSQL has no TLS on it.
        let protection = match is_socket {
            true => Protection { mode: SslMode::Disable, authorities: None },
            false => Protection::choose(mode, authorities, environment).map_err(bad)?,
        };
        let tls = Tls::new(protection.mode, protection.authorities.as_ref())?;
        if config.get_application_name().is_none() {
            config.application_name("level3");
        }
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database =
            config.get_dbname().or_else(|| config.get_user()).unwrap_or("postgres").to_owned();
        let place = format!("PostgreSQL at {host}:{port}, database {database}");
        let mut passed_over = None;
        if config.get_password().is_none() {
            let user = config.get_user().unwrap_or_default();
            let account = Account { host: &host, port, database: &database, user };
            match password::find(environment, account) {
                Found::Password(password) => {
                    config.password(password.expose());
                }
                Found::Nothing(why) => passed_over = why,
            }
        }
        Ok(Self { config, mode: protection.mode, tls, passed_over, is_local, place })
    }

    /// Connects with this password, instead of one of the URL or the environment.
    #[must_use]
    pub fn with_password(mut self, password: &Password) -> Self {
        self.config.password(password.expose());
        self
    }

    /// The name of the database in messages, without a password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Limits the time of an attempt to connect, and of a silence of the server.
    pub(super) fn within(mut self, patience: Duration) -> Self {
        let config = &mut self.config;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(patience);
        }
        // Keep-alive packets detect a peer that has gone without closing the connection.
        config.tcp_user_timeout(patience);
        // In whole seconds; the operating system reads 0 as no limit.
        config.keepalives_idle(patience.max(Duration::from_secs(1)));
        self
    }

    /// Connects as the mode says, over a second channel if the server refuses the first.
    pub(super) async fn connect(&self) -> Result<Connected, Fault> {
        let (first, second) = self.mode.channels();
        let refused = match self.connect_over(first).await {
            Ok(client) => return Ok(self.connected(client, first)),
            Err(fault) => fault,
        };
        match second {
            Some(second) if refused.is_about_the_channel() => {
                match self.connect_over(second).await {
                    Ok(client) => Ok(self.connected(client, second)),
                    // There is no TLS either: the first says why it was needed.
                    Err(fault) if fault.is_of_the_handshake() => Err(refused),
                    Err(fault) => Err(fault),
                }
            }
            _ => Err(refused),
        }
    }

    fn connected(&self, client: Client, over: Channel) -> Connected {
        let is_exposed = over == Channel::Plain && self.mode != SslMode::Disable && !self.is_local;
        Connected { client, is_exposed }
    }

    async fn connect_over(&self, channel: Channel) -> Result<Client, Fault> {
        let mut config = self.config.clone();
        // The tasks end when the client is dropped. An error of the connection is not lost: the
        // client's next call reports it.
        let client = match channel {
            Channel::Plain => {
                config.ssl_mode(ClientMode::Disable);
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
            Channel::Tls => {
                config.ssl_mode(ClientMode::Require);
                let (client, connection) = config.connect(self.tls.connector()).await?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
        };
        client.batch_execute(CONFIGURE).await?;
        Ok(client)
    }

    /// Converts a fault to the error of this database.
    pub(super) fn error(&self, fault: Fault) -> StoreError {
        match fault.at(&self.place) {
            StoreError::NoPassword { place, .. } => {
                StoreError::NoPassword { place, passed_over: self.passed_over.clone() }
            }
            error => error,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A URL without the parameters that the client library does not know, and these.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    url: String,
    mode: Option<String>,
    authorities: Option<String>,
}

impl Options {
    fn split(url: &str) -> Self {
        // A password may contain a question mark.
        let account = url.find('@').unwrap_or(0);
        let (mut mode, mut authorities) = (None, None);
        let Some(begin) = url[account..].find('?').map(|at| account + at) else {
            return Self { url: url.to_owned(), mode, authorities };
        };
        let others = url[begin + 1..].split('&').filter(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let known = match name {
                "sslmode" => &mut mode,
                "sslrootcert" => &mut authorities,
                _ => return true,
            };
            *known = Some(decoded(value));
            false
        });
        let others: Vec<_> = others.collect();
        let url = match others.is_empty() {
            true => url[..begin].to_owned(),
            false => format!("{}?{}", &url[..begin], others.join("&")),
        };
        Self { url, mode, authorities }
    }
}

/// Replaces `%41` by `A`. What is no such code stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| after.get(..2).and_then(|code| std::str::from_utf8(code).ok()))
            .flatten()
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        rest = if code.is_some() { &after[2..] } else { after };
        bytes.push(code.unwrap_or(first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a connection is protected by.
#[derive(Debug, PartialEq, Eq)]
struct Protection {
    mode: SslMode,
    /// `None` if the certificate of the server is not checked.
    authorities: Option<Authorities>,
}

impl Protection {
    /// Chooses by the parameters of the URL, then by the variables, then by PostgreSQL's defaults.
    fn choose(
        mode: Option<String>,
        authorities: Option<String>,
        environment: Environment<'_>,
    ) -> Result<Self, String> {
        let variable = |name: &str| {
            let value = environment(name)?.to_string_lossy().into_owned();
            (!value.is_empty()).then_some(value)
        };
        let named = authorities.or_else(|| variable("PGSSLROOTCERT"));
        let is_system = named.as_deref() == Some("system");
        let mode = match mode.or_else(|| variable("PGSSLMODE")) {
            Some(mode) => mode.parse()?,
            None if is_system => SslMode::VerifyFull,
            None => SslMode::Prefer,
        };
        if is_system && mode != SslMode::VerifyFull {
            return Err("sslrootcert=system needs sslmode=verify-full, since every host can \
                        have a certificate of a public authority"
                .to_owned());
        }
        let authorities = match mode {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => None,
            // As PostgreSQL's own clients: with authorities, it is as strict as verify-ca.
            SslMode::Require => named.map(|file| Authorities::File(file.into())),
            SslMode::VerifyCa | SslMode::VerifyFull => Some(match named {
                Some(_) if is_system => Authorities::System,
                Some(file) => Authorities::File(file.into()),
                None => match own_authorities(environment) {
                    Some(file) => Authorities::File(file),
                    None if mode == SslMode::VerifyFull => Authorities::System,
                    None => {
                        return Err("sslmode=verify-ca needs sslrootcert=FILE, since every host \
                                    can have a certificate of a public authority; verify-full does not"
                            .to_owned());
                    }
                },
            }),
        };
        Ok(Self { mode, authorities })
    }
}

/// The file with the authorities of this user, where PostgreSQL's own clients look for it.
fn own_authorities(environment: Environment<'_>) -> Option<PathBuf> {
    let file = PathBuf::from(environment("HOME")?).join(".postgresql/root.crt");
    file.exists().then_some(file)
}

#[cfg(test)]
mod tests;
