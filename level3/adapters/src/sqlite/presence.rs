//! The processes that have the file open. A lock shows that one lives, because a killed process
//! cannot hold it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::fault::Fault;
use super::statements::{END_INSTANCE, INSTANCE, INSTANCES, NEW_INSTANCE};
use crate::sql::StoreError;

/// This process among those that have the file open.
///
/// Each has a row in `instances` and a locked file beside the database (`FILE-owner-ID`). The
/// kernel releases the lock when the process ends, however it ends. A process that lacks its row,
/// its file or its lock is gone.
#[derive(Debug)]
pub(super) struct Presence {
    id: i64,
    path: PathBuf,
    // Kept open, since closing it would release the lock.
    #[expect(clippy::disallowed_types, reason = "a lock of the kernel's, which no database gives")]
    _lock: fs::File,
}

impl Presence {
    /// Registers this process, within a transaction: no other process sees the row before the file
    /// is locked.
    pub(super) fn enter(db: &Connection, path: &Path) -> Result<Self, Fault> {
        let id: i64 = db.query_row(NEW_INSTANCE, (), |row| row.get(0))?;
        let lock = lock(&owner_file(path, id)).map_err(|why| {
            let place = path.display().to_string();
            Fault::Store(StoreError::Open { place, why: why.to_string() })
        })?;
        Ok(Self { id, path: path.to_owned(), _lock: lock })
    }

    pub(super) const fn id(&self) -> i64 {
        self.id
    }

    /// Removes the rows and files of processes that are gone. Within a transaction.
    pub(super) fn sweep(&self, db: &Connection) -> Result<(), Fault> {
        let others: Vec<i64> = db
            .prepare(INSTANCES)?
            .query_map([self.id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in others.into_iter().filter(|id| self.is_locked_by_nobody(*id)) {
            db.execute(END_INSTANCE, [id])?;
            // A process without a row counts as gone, whether its file exists or not.
            let _ = fs::remove_file(owner_file(&self.path, id));
        }
        Ok(())
    }

    /// Returns whether the process with this number is gone. Within a transaction.
    pub(super) fn is_gone(&self, db: &Connection, id: i64) -> Result<bool, Fault> {
        if id == self.id {
            return Ok(false);
        }
        let is_entered = db.prepare_cached(INSTANCE)?.exists([id])?;
        Ok(!is_entered || self.is_locked_by_nobody(id))
    }

    /// Returns whether no process holds the lock of the file. In doubt the file counts as locked,
    /// and the lease decides.
    fn is_locked_by_nobody(&self, id: i64) -> bool {
        match fs::OpenOptions::new().read(true).open(owner_file(&self.path, id)) {
            // A shared lock: two processes that check at the same time must not mistake each other
            // for the owner.
            Ok(file) => file.try_lock_shared().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Removes the row and the file of this process, so that no other process has to check them.
    pub(super) fn leave(&self, db: &Connection) {
        // The next process that opens the store removes what an error here leaves behind.
        let _ = db.execute(END_INSTANCE, [self.id]);
        let _ = fs::remove_file(owner_file(&self.path, self.id));
    }
}

fn owner_file(path: &Path, id: i64) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!("-owner-{id}"));
    name.into()
}

#[expect(clippy::disallowed_types, reason = "see Presence")]
fn lock(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}
