//! Checks that the open file is still the one that its path names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sql::StoreError;

/// The file behind an open connection.
///
/// A process that has a deleted file open can still write to it, but no process can open that data
/// again. So the store checks the name of the file before it acknowledges a write.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    id: FileId,
}

/// The values that distinguish a file from another one with the same name.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = ();

impl OpenedFile {
    /// Returns the file that the path names now.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: file_id(path)? })
    }

    /// Fails if the path names another file now, or none.
    pub(super) fn verify(&self, place: &str) -> Result<(), StoreError> {
        match file_id(&self.path) {
            Ok(id) if id == self.id => Ok(()),
            _ => Err(StoreError::Gone { place: place.to_owned() }),
        }
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|_| ())
}
