//! The errors of a store: what failed, where, and what the operator can do.

use std::fmt;
use std::path::PathBuf;

use level3_domain::journal::JournalError;
use level3_domain::provider::{Effect, ProviderError};

/// Why a store cannot be used, or why an operation failed.
///
/// The messages are for the operator. They contain no password, card or address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The folder of the file is missing, or is not a folder.
    #[error(
        "{} cannot be made: {why}. Make its folder, or give the store another path", path.display()
    )]
    Folder {
        /// The file that was asked for.
        path: PathBuf,
        /// The message of the operating system.
        why: String,
    },
    /// The file cannot be opened.
    #[error("{place} cannot be opened: {why}. This user must be able to read and write it")]
    Open {
        /// The store, as messages name it.
        place: String,
        /// The message of the operating system or the database.
        why: String,
    },
    /// The file is not a database.
    #[error("{place} is not a database. It was left as it is; give the store another path")]
    NotADatabase {
        /// The file, as messages name it.
        place: String,
    },
    /// The database has tables that are not a store's.
    #[error(
        "{place} is a database of another program. It was left as it is; give the store another"
    )]
    Foreign {
        /// The store, as messages name it.
        place: String,
    },
    /// A later version of the program has changed the tables.
    #[error(
        "{place} has schema {found}, and this program knows schemas up to {known}. It was left as it \
         is; use the program that wrote it, or a later one"
    )]
    NewerSchema {
        /// The store, as messages name it.
        place: String,
        /// The schema of the database.
        found: i64,
        /// The latest schema that this program knows.
        known: i64,
    },
    /// Writing is not allowed.
    #[error("{place} may not be written to: {why}. Change its permissions, or its folder's")]
    ReadOnly {
        /// The store, as messages name it.
        place: String,
        /// The message of the database.
        why: String,
    },
    /// The server takes no writes: it is a standby, or a fail-over is under way.
    #[error(
        "{place} takes no writes: {why}. Name the primary server; after a fail-over the store \
         continues by itself"
    )]
    Standby {
        /// The server, as messages name it.
        place: String,
        /// The message of the server.
        why: String,
    },
    /// The database has no tables of a store.
    #[error("there is no store in {place} yet. Pay something first, or name another store")]
    Empty {
        /// The database, as messages name it.
        place: String,
    },
    /// Another process has held the lock for too long.
    #[error("{place} is locked by another process. End what holds a long transaction on it")]
    Locked {
        /// The store, as messages name it.
        place: String,
    },
    /// No space is left.
    #[error(
        "no space is left for {place}: {why}. Make room; nothing that was acknowledged is lost, and \
         the store continues by itself"
    )]
    Full {
        /// The store, as messages name it.
        place: String,
        /// The message of the database.
        why: String,
    },
    /// The database is damaged: its file, or its tables.
    #[error("{place} is damaged: {why}. Restore a backup before you go on")]
    Damaged {
        /// The store, as messages name it.
        place: String,
        /// The message of the database.
        why: String,
    },
    /// The store was deleted, or another one is in its place now.
    #[error(
        "{place} was deleted or replaced while it was in use. What was acknowledged since is lost with it; \
         bring the store back, or begin with a new one"
    )]
    Gone {
        /// The store, as messages name it.
        place: String,
    },
    /// Reading, writing or flushing failed. Whether the data was written is unknown.
    #[error("{place} failed: {why}. Check its disk; whether the last write was saved is unknown")]
    Io {
        /// The store, as messages name it.
        place: String,
        /// The message of the database.
        why: String,
    },
    /// The text is not a URL, or not that of a store.
    #[error("not the URL of a store: {why}. Write postgres://USER@HOST:PORT/DATABASE")]
    Url {
        /// Why the text is not the URL of a store, as a clause for the message.
        why: String,
    },
    /// No server answers there.
    #[error("{place} cannot be reached: {why}. Start the server, or correct host and port")]
    Unreachable {
        /// The server, as messages name it.
        place: String,
        /// The message of the operating system.
        why: String,
    },
    /// The connection is not protected as `sslmode` demands, or the server demands more.
    #[error("{place}: {why}. {remedy}")]
    Tls {
        /// The server, as messages name it.
        place: String,
        /// What is wrong with the server, its certificate or the mode.
        why: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// The authorities of `sslrootcert` cannot be read.
    #[error(
        "{what} cannot be used to check the certificate of a database: {why}. Name a file of certificates in PEM with sslrootcert"
    )]
    Authorities {
        /// The file, or the authorities of the system.
        what: String,
        /// Why the certificates cannot be used.
        why: String,
    },
    /// The server asks for a password, and there is none.
    #[error(
        "{place} asks for a password{}. Set PGPASSWORD, name a file with it in PGPASSWORD_FILE or PGPASSFILE, or start \
         the program in a terminal, where it asks for the password",
        passed_over.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    NoPassword {
        /// The server, as messages name it.
        place: String,
        /// The file that was passed over in the search for a password, and why.
        passed_over: Option<String>,
    },
    /// The server answers and refuses the connection.
    #[error("{place} refuses the connection: {why}. Correct user, password or database")]
    Refused {
        /// The server, as messages name it.
        place: String,
        /// The message of the server.
        why: String,
    },
    /// The connection broke before the answer. Whether the data was written is unknown.
    #[error("the connection to {place} was lost: {why}. The store connects again by itself")]
    Lost {
        /// The server, as messages name it.
        place: String,
        /// What is known about the failure.
        why: String,
    },
    /// The store was closed, or its thread has died.
    #[error("{place} is closed")]
    Closed {
        /// The store, as messages name it.
        place: String,
    },
    /// A value in the store cannot be read.
    #[error("the {what} in the store cannot be read: {why}. Another program has changed it")]
    Unreadable {
        /// The kind of value that was read.
        what: &'static str,
        /// Why the value cannot be read.
        why: String,
    },
    /// Another payment already has a value that must be unique: an intent, for instance.
    #[error("another payment in {place} has the same value: {why}. Nothing was written")]
    Conflict {
        /// The store, as messages name it.
        place: String,
        /// The message of the database.
        why: String,
    },
    /// The database refuses a statement: a fault of this program.
    #[error("{place} refuses a statement: {why}. This is a fault of the program: please report it")]
    Statement {
        /// The store, as messages name it.
        place: String,
        /// The message of the database.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn unreadable(what: &'static str, why: impl fmt::Display) -> Self {
        Self::Unreadable { what, why: why.to_string() }
    }

    /// Whether the store is lost: an operator has to act, and the process has to open it again.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Damaged { .. })
    }

    /// Whether a write that failed with this error may have been committed.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Io { .. } | Self::Gone { .. } | Self::Lost { .. } | Self::Closed { .. } => {
                Effect::Unknown
            }
            _ => Effect::None,
        }
    }
}

impl From<StoreError> for JournalError {
    /// A saga must stop at any of them: without the record there is no effect.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the journal");
        Self::Unavailable
    }
}

impl From<StoreError> for ProviderError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the ledger");
        match (&error, error.effect()) {
            (StoreError::Conflict { .. }, _) => Self::Invalid { message: error.to_string() },
            (_, Effect::None) => Self::Unavailable,
            (_, Effect::Unknown) => Self::ConnectionLost,
        }
    }
}
