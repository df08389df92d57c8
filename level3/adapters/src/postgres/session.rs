//! One connection with its settings and statements.

use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use super::fault::Fault;
use super::password::{self, Account};
use super::statements::{
    BEGIN, COMMIT, CONFIGURE, LOCK_SCHEMA, MAKE_MIGRATIONS, MIGRATED, MIGRATIONS, SCHEMA,
    Statements, TABLES,
};
use crate::sql::StoreError;

/// A server and a database, and their name in messages.
#[derive(Debug, Clone)]
pub(super) struct Address {
    config: Config,
    pub(super) place: String,
}

impl Address {
    /// Reads a URL. No error repeats a password from it.
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let bad = |why: String| StoreError::Url { why };
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(bad("it does not begin with postgres://".to_owned()));
        }
        let mut config: Config = url.parse().map_err(|error| bad(super::fault::why(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(bad("it names no host".to_owned()));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(bad("this program speaks no TLS to databases; use a tunnel".to_owned()));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(patience);
        }
        if config.get_application_name().is_none() {
            config.application_name("level3");
        }
        // Keep-alive packets detect a peer that has gone without closing the connection.
        config.tcp_user_timeout(patience);
        // In whole seconds; the operating system reads 0 as no limit.
        config.keepalives_idle(patience.max(Duration::from_secs(1)));
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().or_else(|| config.get_user()).unwrap_or("postgres");
        let user = config.get_user().unwrap_or_default();
        let account = Account { host: &host, port, database, user };
        let found = config.get_password().is_none().then(|| password::find(account)).flatten();
        let place = format!("PostgreSQL at {host}:{port}, database {database}");
        if let Some(password) = found {
            config.password(password);
        }
        Ok(Self { config, place })
    }

    pub(super) async fn connect(&self) -> Result<Client, Fault> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // The task ends when the client is dropped. An error of the connection is not lost: the
        // client's next call reports it.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        client.batch_execute(CONFIGURE).await?;
        Ok(client)
    }
}

/// A connection with its statements.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
}

impl Session {
    pub(super) async fn connect(address: &Address) -> Result<Self, Fault> {
        let client = address.connect().await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Self { client, statements })
    }
}

/// Updates the schema in one transaction. Two processes that start at the same time do it one after
/// the other.
pub(super) async fn migrate(client: &Client, place: &str) -> Result<(), Fault> {
    client.batch_execute(BEGIN).await?;
    client.query(LOCK_SCHEMA, &[]).await?;
    let found = schema(client, place).await?;
    if found == 0 {
        client.batch_execute(MAKE_MIGRATIONS).await?;
    }
    for (version, text) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        client.batch_execute(text).await?;
        client.execute(MIGRATED, &[&version]).await?;
    }
    client.batch_execute(COMMIT).await?;
    Ok(())
}

/// Returns the version of the schema; 0 if there is none.
async fn schema(client: &Client, place: &str) -> Result<i64, Fault> {
    let tables = client.query_one(TABLES, &[]).await?;
    let found = match (tables.try_get::<_, i64>(0)?, tables.try_get::<_, i64>(1)?) {
        (0, 0) => 0,
        (0, _) => return Err(StoreError::Foreign { place: place.to_owned() }.into()),
        _ => client.query_one(SCHEMA, &[]).await?.try_get(0)?,
    };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { place: place.to_owned(), found, known }.into());
    }
    Ok(found)
}
