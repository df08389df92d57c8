//! The journal that the command line names.

use std::sync::Arc;

use level5::event_processor::{End, Event, EventId, Journal, JournalError, Loaded, MemoryJournal};
use level5_journal::{Damaged, FileJournal, JournalConfig, OpenError, WriteError};

use crate::args::{JournalPlace, ProcessorArgs};
use crate::source::LINE_BYTES;

/// The least bytes of a segment: an event of the largest line fits, whatever the limit of the journal.
const LEAST: u64 = 2 * LINE_BYTES as u64;

/// A journal of either kind. A clone is a handle to the same one.
#[derive(Debug, Clone)]
pub enum AnyJournal {
    /// In memory.
    Memory(MemoryJournal),
    /// In a folder.
    Files(FileJournal),
}

impl AnyJournal {
    /// Opens or makes the journal.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Blocking
    ///
    /// A folder is read.
    pub fn open(args: &ProcessorArgs) -> Result<Self, OpenError> {
        let JournalPlace::Folder(folder) = &args.journal else {
            return Ok(Self::Memory(MemoryJournal::default()));
        };
        let max_bytes = args.journal_limit << 20;
        let config = JournalConfig {
            segment_bytes: (max_bytes / 8).clamp(LEAST, JournalConfig::default().segment_bytes),
            max_bytes,
            damaged: if args.accept_damage { Damaged::Accept } else { Damaged::Refuse },
        };
        Ok(Self::Files(FileJournal::open(folder, config)?))
    }

    /// Why the last call has failed, where more than a text is known.
    #[must_use]
    pub fn last_error(&self) -> Option<WriteError> {
        match self {
            Self::Memory(_) => None,
            Self::Files(files) => files.last_error(),
        }
    }
}

impl Journal for AnyJournal {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        match self {
            Self::Memory(memory) => memory.append(events).await,
            Self::Files(files) => files.append(events).await,
        }
    }

    async fn done(&self, ends: &[(EventId, End)]) -> Result<(), JournalError> {
        match self {
            Self::Memory(memory) => memory.done(ends).await,
            Self::Files(files) => files.done(ends).await,
        }
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        match self {
            Self::Memory(memory) => memory.load().await,
            Self::Files(files) => files.load().await,
        }
    }
}
