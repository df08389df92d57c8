//! The journal that the command line names.

use std::sync::Arc;

use level5::event_processor::{End, Event, EventId, Journal, JournalError, Loaded, MemoryJournal};
use level5_journal::{Damaged, FileJournal, JournalConfig, OpenError};

use crate::args::{JournalPlace, ProcessorArgs};
use crate::key_order::KeyOrder;
use crate::source::LINE_BYTES;

/// The least bytes of a segment: an event of the largest line fits, whatever the limit of the journal.
const LEAST: u64 = 2 * LINE_BYTES as u64;

/// A journal of either kind, which returns for the events of a key in their order. A clone is a handle to the same one.
#[derive(Debug, Clone)]
pub struct AnyJournal {
    place: Place,
    order: KeyOrder,
}

#[derive(Debug, Clone)]
enum Place {
    Memory(MemoryJournal),
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
            return Ok(Self::new(Place::Memory(MemoryJournal::default())));
        };
        let max_bytes = args.journal_limit << 20;
        let config = JournalConfig {
            segment_bytes: (max_bytes / 8).clamp(LEAST, JournalConfig::default().segment_bytes),
            max_bytes,
            damaged: if args.accept_damage { Damaged::Accept } else { Damaged::Refuse },
        };
        Ok(Self::new(Place::Files(FileJournal::open(folder, config)?)))
    }

    fn new(place: Place) -> Self {
        Self { place, order: KeyOrder::default() }
    }

    /// The journal in a folder, if it is one.
    #[must_use]
    pub const fn files(&self) -> Option<&FileJournal> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Files(files) => Some(files),
        }
    }
}

impl Journal for AnyJournal {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        // Before the write begins: the lane begins its calls in the order of its source.
        let mut turn = match events {
            [event] => event.key.as_deref().map(|key| self.order.begin(key)),
            // Dead letters that are sent again have no order among them.
            _ => None,
        };
        let written = match &self.place {
            Place::Memory(memory) => memory.append(events).await,
            Place::Files(files) => files.append(events).await,
        };
        // An event that was not kept does not wait, and its lane learns at once that the journal is full.
        if let (Ok(()), Some(turn)) = (&written, &mut turn) {
            turn.comes().await;
        }
        written
    }

    async fn done(&self, ends: &[(EventId, End)]) -> Result<(), JournalError> {
        match &self.place {
            Place::Memory(memory) => memory.done(ends).await,
            Place::Files(files) => files.done(ends).await,
        }
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        match &self.place {
            Place::Memory(memory) => memory.load().await,
            Place::Files(files) => files.load().await,
        }
    }
}
