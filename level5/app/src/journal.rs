//! The journal that the command line names.

#[cfg(feature = "nats")]
pub(crate) mod stream;

use std::path::Path;
use std::sync::Arc;

use level5::event_processor::{
    DeadLetter, End, Event, EventId, Journal, JournalError, Loaded, MemoryJournal,
};
#[cfg(feature = "nats")]
use level5_jetstream::JetStreamJournal;
use level5_journal::{Damaged, FileJournal, JournalConfig, OpenError, WriteError};
use tokio::task::block_in_place;

use crate::args::{JournalPlace, ProcessorArgs};
use crate::key_order::KeyOrder;
use crate::problem::ProgramError;
use crate::source::LINE_BYTES;
use crate::summary::{RecoveredCounts, Streamed};

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
    #[cfg(feature = "nats")]
    Stream(JetStreamJournal),
}

impl AnyJournal {
    /// Opens or makes the journal.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Open`], and for a stream `ProgramError::OpenStream`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with several threads.
    pub async fn open(args: &ProcessorArgs) -> Result<Self, ProgramError> {
        let place = match &args.journal {
            JournalPlace::Memory => Place::Memory(MemoryJournal::default()),
            // All files are read.
            JournalPlace::Folder(folder) => block_in_place(|| files(folder, args))?,
            #[cfg(feature = "nats")]
            JournalPlace::Stream(address) => Place::Stream(stream::open(address, args).await?),
            #[cfg(not(feature = "nats"))]
            JournalPlace::Stream(_) => return Err(ProgramError::WithoutNats),
        };
        Ok(Self { place, order: KeyOrder::default() })
    }

    /// The dead letters, without a change of the journal as far as another process may use it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and the error of the journal.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with several threads.
    pub async fn dead_letters(args: &ProcessorArgs) -> Result<Vec<DeadLetter>, ProgramError> {
        #[cfg(feature = "nats")]
        if let JournalPlace::Stream(address) = &args.journal {
            return stream::dead_letters(address, args).await;
        }
        Ok(Self::open(args).await?.load().await?.dead)
    }

    /// The journal in a folder, if it is one.
    #[must_use]
    pub const fn files(&self) -> Option<&FileJournal> {
        match &self.place {
            Place::Files(files) => Some(files),
            _ => None,
        }
    }

    /// The journal in a stream, if it is one.
    #[cfg(feature = "nats")]
    #[must_use]
    pub const fn stream(&self) -> Option<&JetStreamJournal> {
        match &self.place {
            Place::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// What the journal had when it was opened. `None`: memory.
    #[must_use]
    pub fn recovered(&self) -> Option<RecoveredCounts> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Files(files) => Some(RecoveredCounts::of(files.recovered())),
            #[cfg(feature = "nats")]
            Place::Stream(stream) => Some(RecoveredCounts::of_stream(stream.recovered())),
        }
    }

    /// What a journal in a stream has done.
    #[must_use]
    pub fn stream_figures(&self) -> Option<Streamed> {
        #[cfg(feature = "nats")]
        if let Some(stream) = self.stream() {
            return Some(stream.figures().into());
        }
        None
    }

    /// Closes the journal, as far as this is not done by the drop of its last handle: other processes learn of it.
    pub async fn close(self) {
        #[cfg(feature = "nats")]
        if let Place::Stream(stream) = self.place {
            stream::close(stream).await;
        }
    }
}

fn files(folder: &Path, args: &ProcessorArgs) -> Result<Place, OpenError> {
    let max_bytes = args.journal_limit << 20;
    let config = JournalConfig {
        segment_bytes: (max_bytes / 8).clamp(LEAST, JournalConfig::default().segment_bytes),
        max_bytes,
        damaged: if args.accept_damage { Damaged::Accept } else { Damaged::Refuse },
    };
    Ok(Place::Files(FileJournal::open(folder, config)?))
}

/// Whether the journal has refused an event because it has reached its own limit. A full disk is another error: what fills
/// it need not be the journal.
#[must_use]
pub fn is_at_its_limit(error: &JournalError) -> bool {
    #[cfg(feature = "nats")]
    if error.cause().is_some_and(level5_jetstream::WriteError::is_full) {
        return true;
    }
    matches!(error.cause(), Some(WriteError::Full { .. }))
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
            #[cfg(feature = "nats")]
            Place::Stream(stream) => stream.append(events).await,
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
            #[cfg(feature = "nats")]
            Place::Stream(stream) => stream.done(ends).await,
        }
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        match &self.place {
            Place::Memory(memory) => memory.load().await,
            Place::Files(files) => files.load().await,
            #[cfg(feature = "nats")]
            Place::Stream(stream) => stream.load().await,
        }
    }
}
