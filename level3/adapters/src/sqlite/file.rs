//! Whether the file that is open is still the one that its path names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sql::StoreError;

/// The file behind an open connection.
///
/// A file that is deleted stays usable for those who have it open: everything is written, and nothing of
/// it can ever be opened again. So its name is looked at before a write is acknowledged.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    id: FileId,
}

/// What tells a file from another one by the same name.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = ();

impl OpenedFile {
    /// The file that the path names now.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: file_id(path)? })
    }

    /// Fails once the path names another file, or none.
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
