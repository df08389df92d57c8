//! Checks that the open file is still the one that its path names, with what was written into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use super::fault::Fault;
use super::raw::{self, Raw};
use super::statements::{CHECKPOINT, PAGE_OF_THE_IDENTITY};
use crate::sql::StoreError;

/// The first bytes of every database of SQLite.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the header has the number of changes, and how many bytes of the header are read.
const CHANGES: usize = 24;
const HEADER: usize = CHANGES + 4;

/// The file behind an open connection.
///
/// A process that has a deleted file open can still write to it, but no process can open that data
/// again. A file that is copied over this one keeps its name and its number, and SQLite serves the
/// pages of before from its cache. So the store checks the file before it acknowledges a write: its
/// name, its size, its header, and the identity of the store at its place in the file.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    raw: Arc<Raw>,
    identity: String,
    /// The place of the identity in the file. `None` while the write-ahead log has it.
    at: Option<u64>,
    /// The size and the number of changes that were seen last. Neither gets smaller.
    size: u64,
    changes: u32,
}

impl OpenedFile {
    /// Returns the file that the path names now. The connection is to the same file.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let raw = raw::open(path)?;
        let path = path.to_owned();
        Ok(Self { path, raw, identity: String::new(), at: None, size: 0, changes: 0 })
    }

    /// Finds the identity in the file, outside of a transaction.
    pub(super) fn remember(&mut self, db: &Connection, identity: &str) -> Result<(), Fault> {
        identity.clone_into(&mut self.identity);
        // Moves the pages of the log into the file. With another process in between, it stays in
        // the log, and the other checks have to do.
        db.query_row(CHECKPOINT, (), |_| Ok(()))?;
        self.at = self.find(db)?;
        Ok(())
    }

    /// Returns where the file has the identity; `None` if it is not where SQLite has it.
    fn find(&self, db: &Connection) -> Result<Option<u64>, Fault> {
        if self.identity.is_empty() {
            return Ok(None);
        }
        let place = db.query_row(PAGE_OF_THE_IDENTITY, (), |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((offset, size)): Option<(i64, i64)> = place.optional()? else { return Ok(None) };
        let (Ok(offset), Ok(size)) = (u64::try_from(offset), usize::try_from(size)) else {
            return Ok(None);
        };
        let mut page = vec![0; size];
        if self.raw.read_at(&mut page, offset).is_err() {
            return Ok(None);
        }
        let wanted = self.identity.as_bytes();
        let found = page.windows(wanted.len()).position(|bytes| bytes == wanted);
        Ok(found.map(|found| offset + found as u64))
    }

    /// Fails if the path names another file now, or none, or if the file has other contents.
    pub(super) fn verify(&mut self, db: &Connection, place: &str) -> Result<(), StoreError> {
        let place = || place.to_owned();
        let gone = || StoreError::Gone { place: place() };
        let damaged = |why: &str| StoreError::Damaged { place: place(), why: why.to_owned() };
        let metadata = fs::metadata(&self.path).map_err(|_| gone())?;
        if !self.raw.is(&metadata) {
            return Err(gone());
        }
        if metadata.len() < self.size {
            return Err(damaged("it is shorter than before"));
        }
        let mut header = [0; HEADER];
        self.raw
            .read_at(&mut header, 0)
            .map_err(|why| StoreError::Io { place: place(), why: why.to_string() })?;
        if !header.starts_with(MAGIC) {
            return Err(damaged("its header was overwritten"));
        }
        let changes = header[CHANGES..].iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
        // The number wraps around.
        if changes.wrapping_sub(self.changes) > u32::MAX / 2 {
            return Err(gone());
        }
        if let Some(at) = self.at {
            let mut found = vec![0; self.identity.len()];
            let read = self.raw.read_at(&mut found, at);
            if read.is_err() || found != self.identity.as_bytes() {
                // A VACUUM moves it.
                let moved = self.find(db).ok().flatten();
                self.at = Some(moved.filter(|moved| *moved != at).ok_or_else(gone)?);
            }
        }
        (self.size, self.changes) = (metadata.len(), changes);
        Ok(())
    }
}
