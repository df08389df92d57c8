//! A table in PostgreSQL.

mod session;
mod table;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use level5::conflict::SourceId;
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{Incoming, RecordId, Source};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use session::{Connector, Session};

pub use table::Table;

/// Why a source in PostgreSQL was not made, or has not answered.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The text is no URL of a database, or has settings that are not known.
    #[error("the URL of the database cannot be used: {0}")]
    Url(String),
    /// A name cannot be used: it is empty, or has more than 48 bytes.
    #[error("`{0}` cannot be used as a name: it must have 1 to 48 bytes")]
    Name(String),
    /// The certificates of the machine cannot be read.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// There is no connection, or it has ended.
    #[error("{place}: {why}")]
    Connection {
        /// The host and the database.
        place: String,
        /// What was wrong.
        why: String,
    },
    /// The server has refused a statement.
    #[error("{place}: {why}")]
    Refused {
        /// The host and the database.
        place: String,
        /// What the server said.
        why: String,
    },
    /// The table has no log of its changes yet.
    #[error("{0} has no log of its changes; PostgresSource::prepare makes it")]
    NotPrepared(String),
    /// The server's answer is not what the statement asks for.
    #[error("the log of the changes has a value that is not understood: {0}")]
    Answer(String),
}

/// The rows of a table. Each row is a record, its columns are the fields.
///
/// [`prepare`](Self::prepare) gives the table a log: triggers note each row that is written or deleted, with a time and
/// with a *logical time*, a number that grows with each change. Both are the stamp of the record. The time of a row never
/// goes back, also if the clock of the server does, and of one time the logical time decides. Deletions are noted too, so
/// that they are found by a process that did not run when they happened. The table itself stays as it is.
///
/// # No change is skipped
///
/// A poll reads what has changed since the poll before. It does not ask for logical times above the highest one that it
/// has seen: numbers are given before the commit, so that a smaller one may become visible after a greater one, and would
/// be skipped. The log also notes the transaction. A poll learns from the server which transaction is the oldest that has
/// not ended, and the next one reads what that and later ones have written. So it reads some rows twice, and none never.
///
/// A poll delivers what has changed. A record that is as before is confirmed when a reader asks for it.
///
/// # Connections
///
/// TLS follows `sslmode` of the URL. With `prefer`, the default, a server without TLS is accepted; `require` refuses it. In
/// both cases a certificate is checked, by the authorities of the machine and with its name, unless
/// [`with_tls`](Self::with_tls) has others. A broken connection is a failure of one poll; the next one connects again.
///
/// # Cancellation
///
/// A poll or a fetch that is dropped closes its connection, and has changed nothing.
pub struct PostgresSource {
    id: SourceId,
    connector: Connector,
    table: Table,
    /// The connection while no call uses it. A call takes it out, so that one that is dropped, whose connection may hang, does
    /// not leave it to the next one.
    idle: Mutex<Option<Session>>,
    /// The oldest transaction that had not ended at the last poll. `None` before the first one.
    horizon: Mutex<Option<u64>>,
}

impl fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PostgresSource");
        shown.field("id", &self.id).field("place", &self.connector.place());
        shown.field("table", &self.table).finish_non_exhaustive()
    }
}

impl PostgresSource {
    /// Makes a source of the table, in the database with this URL. It does not connect yet.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Url`].
    pub fn new(id: SourceId, url: &str, table: Table) -> Result<Self, PostgresError> {
        let connector = Connector::new(url)?;
        Ok(Self { id, connector, table, idle: Mutex::default(), horizon: Mutex::default() })
    }

    /// Uses these settings of TLS, for a server whose certificate the machine does not know.
    #[must_use]
    pub fn with_tls(mut self, tls: rustls::ClientConfig) -> Self {
        self.connector.set_tls(tls);
        self
    }

    /// Makes the log of the table's changes, and notes all rows that it has. A log that is there stays.
    ///
    /// It needs the rights of the table's owner. Writers wait while it runs. Those who write to the table need no rights for
    /// the log; the source needs to read both.
    ///
    /// # Errors
    ///
    /// [`PostgresError`]. Nothing was made.
    ///
    /// # Cancellation
    ///
    /// A dropped future has made all or nothing.
    pub async fn prepare(&self) -> Result<(), PostgresError> {
        let session = self.session().await?;
        let made = session.client.batch_execute(&self.table.log()).await;
        made.map_err(|error| self.refusal(&error))?;
        self.put_back(session);
        Ok(())
    }

    /// The rows that transactions from `horizon` on have written, and the oldest transaction that has not ended.
    async fn changed(&self, horizon: u64) -> Result<(Vec<Incoming>, u64), PostgresError> {
        let session = self.session().await?;
        let rows = session.client.query(&self.table.changed(), &[&horizon.to_string()]).await;
        let rows = rows.map_err(|error| self.problem(&error))?;
        self.put_back(session);
        let oldest =
            rows.first().and_then(|row| row.try_get::<_, &str>("oldest").ok()?.parse().ok());
        let oldest = oldest.ok_or_else(|| PostgresError::Answer("no transaction".to_owned()))?;
        // Without changes there is one row, which only has the transaction.
        let noted = rows.iter().filter(|row| !matches!(row.try_get("id"), Ok(None::<&str>)));
        Ok((noted.map(incoming).collect::<Result<_, _>>()?, oldest))
    }

    async fn some(&self, ids: &[RecordId]) -> Result<Vec<Incoming>, PostgresError> {
        let session = self.session().await?;
        let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        let rows = session.client.query(&self.table.some(), &[&ids]).await;
        let rows = rows.map_err(|error| self.problem(&error))?;
        self.put_back(session);
        rows.iter().map(incoming).collect()
    }

    async fn session(&self) -> Result<Session, PostgresError> {
        let idle = lock(&self.idle).take().filter(|session| !session.client.is_closed());
        match idle {
            Some(session) => Ok(session),
            None => self.connector.connect().await,
        }
    }

    /// Keeps the connection for the next call. After an error it is not put back, and so closed.
    fn put_back(&self, session: Session) {
        *lock(&self.idle) = Some(session);
    }

    /// The problem of a poll or a fetch. What they miss is the log.
    fn problem(&self, error: &tokio_postgres::Error) -> PostgresError {
        match error.as_db_error() {
            Some(refused) if *refused.code() == SqlState::UNDEFINED_TABLE => {
                PostgresError::NotPrepared(self.table.to_string())
            }
            _ => self.refusal(error),
        }
    }

    fn refusal(&self, error: &tokio_postgres::Error) -> PostgresError {
        let place = self.connector.place();
        match error.as_db_error() {
            Some(refused) => PostgresError::Refused { place, why: refused.message().to_owned() },
            None => PostgresError::Connection { place, why: session::cause(error) },
        }
    }
}

impl Source for PostgresSource {
    fn id(&self) -> SourceId {
        self.id.clone()
    }

    async fn fetch_all(&self) -> Result<Vec<Incoming>, SourceError> {
        let before = *lock(&self.horizon);
        let (mut incoming, mut oldest) = self.changed(before.unwrap_or(0)).await.map_err(told)?;
        if before.is_some_and(|before| oldest < before) {
            // The database was restored from a backup. What has changed since the horizon means nothing in it.
            (incoming, oldest) = self.changed(0).await.map_err(told)?;
        }
        // Nothing is awaited from here on: what was read is delivered, or read again by the next poll.
        *lock(&self.horizon) = Some(oldest);
        Ok(incoming)
    }

    async fn fetch(&self, ids: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        self.some(ids).await.map_err(told)
    }
}

fn told(error: PostgresError) -> SourceError {
    SourceError(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A row of the log, with the row of the table that it is about.
fn incoming(row: &Row) -> Result<Incoming, PostgresError> {
    let wrong = |why: String| PostgresError::Answer(why);
    let failed = |error: tokio_postgres::Error| wrong(session::cause(&error));
    let id: &str = row.try_get("id").map_err(failed)?;
    let at: i64 = row.try_get("at").map_err(failed)?;
    let at = Timestamp::from_microsecond(at).map_err(|error| wrong(error.to_string()))?;
    let version: i64 = row.try_get("logical_time").map_err(failed)?;
    let version = u64::try_from(version).map_err(|error| wrong(error.to_string()))?;
    let content: Option<&str> = row.try_get("content").map_err(failed)?;
    let content = content.map(serde_json::from_str).transpose();
    let content = content.map_err(|error| wrong(error.to_string()))?;
    Ok(Incoming { id: RecordId::new(id), at, version, content })
}
