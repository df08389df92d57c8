//! Reads the bytes of a file that SQLite has open.
//!
//! The locks of POSIX belong to a process and a file: closing any descriptor of a file releases all
//! locks that the process has on it, those of SQLite's connections too. So this process has one
//! descriptor for each file, which stores of the same file share, and closes it with the last one.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A file that is open for reading.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "reads beside SQLite, which has no call for it")]
pub(super) struct Raw {
    file: fs::File,
    id: FileId,
}

/// The values that distinguish a file from another one with the same name.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = ();

// A standard mutex: it is held for an open, and never across an await.
static OPEN: Mutex<Vec<Weak<Raw>>> = Mutex::new(Vec::new());

/// Returns the file, opened or shared with another store of this process.
#[expect(clippy::disallowed_types, reason = "see Raw")]
pub(super) fn open(path: &Path) -> io::Result<Arc<Raw>> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|raw| raw.strong_count() > 0);
    let metadata = fs::metadata(path)?;
    if let Some(raw) = open.iter().filter_map(Weak::upgrade).find(|raw| raw.can_share(&metadata)) {
        return Ok(raw);
    }
    let file = fs::File::open(path)?;
    let id = file_id(&file.metadata()?);
    let raw = Arc::new(Raw { file, id });
    open.push(Arc::downgrade(&raw));
    Ok(raw)
}

impl Raw {
    /// Whether this is the file with the metadata.
    pub(super) fn is(&self, metadata: &fs::Metadata) -> bool {
        self.id == file_id(metadata)
    }

    fn can_share(&self, metadata: &fs::Metadata) -> bool {
        // Elsewhere files have no numbers, and locks belong to a descriptor.
        cfg!(unix) && self.is(metadata)
    }

    /// Fills the buffer with the bytes from this offset on.
    #[cfg(unix)]
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    /// Fills the buffer with the bytes from this offset on.
    #[cfg(windows)]
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)?;
        if read == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(unix)]
fn file_id(file: &fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
const fn file_id(_: &fs::Metadata) -> FileId {}
