//! Copies a store while other processes write to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use super::SqliteReader;
use super::fault::Fault;
use crate::sql::StoreError;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file of this name. It was left as it is.
    #[error("{} exists already, and was left as it is. Name another file", path.display())]
    Exists {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file cannot be made, or not be made durable.
    #[error("{}: {why}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        why: io::Error,
    },
    /// The store cannot be read, or the disk of the copy has no room.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqliteReader {
    /// Copies the store, as it is at one moment, into a new file that only its owner may read. Other
    /// processes go on writing meanwhile. When the method returns, the copy is durable. It has the
    /// identity of the store: only one of the two may be used.
    ///
    /// # Errors
    ///
    /// [`BackupError`]. No file is left then.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does not stop the copy, which a thread for blocking work makes.
    pub async fn back_up(&self, to: PathBuf) -> Result<(), BackupError> {
        let (db, place) = (Arc::clone(&self.db), self.place.clone());
        let copied = tokio::task::spawn_blocking(move || {
            make(&to)?;
            let db = db.lock().unwrap_or_else(PoisonError::into_inner);
            let copied = copy(&db, &to, &place).and_then(|()| persist(&to));
            if copied.is_err() {
                // The error says what has failed. An incomplete file looks like a backup.
                let _ = std::fs::remove_file(&to);
            }
            copied
        });
        let closed = || StoreError::Closed { place: self.place.clone() };
        copied.await.unwrap_or_else(|_| Err(closed().into()))
    }
}

/// Makes an empty file, since SQLite copies into one that is empty. Its permissions are set before
/// anything is in it, and two backups at the same time cannot use one name.
fn make(path: &Path) -> Result<(), BackupError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists { path: path.to_owned() })
        }
        Err(why) => Err(BackupError::File { path: path.to_owned(), why }),
    }
}

fn copy(db: &Connection, to: &Path, place: &str) -> Result<(), BackupError> {
    let not_utf8 = || {
        let why = io::Error::new(io::ErrorKind::InvalidInput, "the name is not UTF-8");
        BackupError::File { path: to.to_owned(), why }
    };
    let name = to.to_str().ok_or_else(not_utf8)?;
    // It reads within one transaction, so the copy has every acknowledged write of before, and no half
    // of a write.
    let copied = db.execute("VACUUM INTO ?1", [name]).map_err(Fault::from);
    copied.map(drop).map_err(|fault| fault.at(place).into())
}

/// Makes the file and its name durable.
#[expect(clippy::disallowed_types, reason = "SQLite does not flush a copy")]
fn persist(path: &Path) -> Result<(), BackupError> {
    let flush = || {
        std::fs::File::open(path)?.sync_all()?;
        match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => std::fs::File::open(".")?.sync_all(),
        }
    };
    flush().map_err(|why| BackupError::File { path: path.to_owned(), why })
}
