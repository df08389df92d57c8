//! Why a journal was not opened, and why it did not write.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use level5::event_processor::{EventId, JournalError};

/// A part of a journal that does not hold what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file the first byte is that cannot be read.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
    /// The accepted events and dead letters that cannot be read. Records of ends are not listed: without one, its event
    /// is sent once more.
    pub events: Vec<EventId>,
    /// Whether `events` names all of them. False when the list of names is damaged too.
    pub complete: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, what, events, complete } = self;
        write!(f, "{} at byte {offset}: {what}", file.display())?;
        match (events.as_slice(), complete) {
            ([], true) => write!(f, "; no accepted event is affected"),
            ([], false) => write!(f, "; the events that were there cannot be named"),
            (events, complete) => {
                let names: Vec<_> = events.iter().map(EventId::as_str).collect();
                let more = if *complete { "" } else { " and others that cannot be named" };
                write!(f, "; these events cannot be read: {}{more}", names.join(", "))
            }
        }
    }
}

/// Why a journal was not opened. Its files are as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another journal of this one, has the folder open.
    #[error("{} is in use: a journal has one owner at a time", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder has a segment of a version that this program does not know.
    #[error(
        "{} has version {found} of the format, and this program knows versions up to {known}; use the program that \
         wrote it, or a newer one", file.display()
    )]
    NewerVersion {
        /// The segment.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// A file with the name of a segment is none.
    #[error("{} is no segment of a journal: {what}", file.display())]
    NotASegment {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Acknowledged records cannot be read.
    #[error(
        "the journal is damaged. {}. Restore it from a copy; or open it with `Damaged::Accept`, which goes on without \
         these events",
        list(damages)
    )]
    Damaged {
        /// Every part that cannot be read, in the order of the files.
        damages: Vec<Damage>,
    },
    /// The configuration is refused.
    #[error(
        "a segment of {segment_bytes} bytes in a journal of {max_bytes} bytes: a segment has from 4096 bytes to 1 GiB, \
         and a journal four segments at least"
    )]
    Config {
        /// [`JournalConfig::segment_bytes`](crate::JournalConfig::segment_bytes).
        segment_bytes: u64,
        /// [`JournalConfig::max_bytes`](crate::JournalConfig::max_bytes).
        max_bytes: u64,
    },
    /// The folder cannot be read or written.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

fn list(damages: &[Damage]) -> String {
    damages.iter().map(ToString::to_string).collect::<Vec<_>>().join(". ")
}

impl OpenError {
    /// An error of the system.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |why| Self::Io { path, why: why.to_string() }
    }
}

/// Why a call was not written. Nothing of it is kept, and nothing of it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The journal has as many bytes as it may have. Ends are still recorded, and make room.
    #[error(
        "the journal has reached its limit of {max_bytes} bytes: deliver pending events, redrive dead letters, or raise the limit"
    )]
    Full {
        /// The limit.
        max_bytes: u64,
    },
    /// The disk is full, or a file has reached a limit of the system. The journal goes on when there is room again.
    #[error("no space is left for {}: make room on its disk", folder.display())]
    NoSpace {
        /// The folder.
        folder: PathBuf,
    },
    /// An event is larger than a segment.
    #[error("event {id} has {bytes} bytes, and a segment has {segment_bytes}")]
    TooLarge {
        /// The event.
        id: EventId,
        /// The bytes of its record.
        bytes: u64,
        /// The bytes of a segment.
        segment_bytes: u64,
    },
    /// The file cannot be written. The journal goes on: the next call tries again.
    #[error("{}: {why}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        why: String,
    },
    /// After an error the file could not be restored to what was acknowledged. Every call fails until the journal is
    /// opened again.
    #[error("{} must be opened again, since it could not be restored after an error: {why}", folder.display())]
    Broken {
        /// The folder.
        folder: PathBuf,
        /// The error.
        why: String,
    },
}

impl WriteError {
    /// An error of the system in this folder.
    pub(crate) fn of(error: &io::Error, folder: &Path) -> Self {
        let folder = folder.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace { folder },
            _ => Self::Io { folder, why: error.to_string() },
        }
    }

    /// Whether room on the disk, or below the limit, makes the same call succeed.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoSpace { .. })
    }
}

impl From<WriteError> for JournalError {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Full { .. } | WriteError::NoSpace { .. } => Self::Full,
            WriteError::TooLarge { .. } => Self::Refused,
            WriteError::Io { .. } => Self::Failed,
            WriteError::Broken { .. } => Self::Broken,
        };
        kind(Arc::new(error))
    }
}
