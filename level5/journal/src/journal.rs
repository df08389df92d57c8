//! The handle of a journal.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use level5::event_processor::{End, Event, EventId, Journal, JournalError, Loaded};

use crate::config::JournalConfig;
use crate::error::{OpenError, WriteError};
use crate::folder::Folder;
use crate::record::Record;
use crate::recovery::{Recovered, open};
use crate::writer::{Figures, Shared, State, Writer};

/// A journal in a folder of files. A clone is a handle to the same journal.
///
/// A call is ready when its records are on the disk. Calls that come while others are being written are written
/// together, with one sync.
///
/// ```
/// use std::sync::Arc;
/// use level5::event_processor::{Event, EventId, Journal};
/// use level5::priority_queue::Priority;
/// use level5_journal::{FileJournal, JournalConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("level5-journal-doc-{}", std::process::id()));
/// let event = Arc::new(Event {
///     id: EventId::new("1"),
///     kind: "user_action".to_owned(),
///     key: None,
///     priority: Priority::High,
///     at: jiff::Timestamp::UNIX_EPOCH,
///     data: "click".into(),
/// });
/// let journal = FileJournal::open(&folder, JournalConfig::default())?;
/// journal.append(&[Arc::clone(&event)]).await?;
/// drop(journal);
///
/// let journal = FileJournal::open(&folder, JournalConfig::default())?;
/// assert_eq!(journal.load().await?.pending, [event]);
/// # drop(journal);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
///
/// # Blocking
///
/// [`open`](Self::open) reads all files. Dropping the last handle waits until what was begun is written, and then closes
/// the files. The other calls do not block: a thread of the journal writes.
///
/// # Cancellation
///
/// A call of the trait whose future was polled once is written, also if the future is dropped.
#[derive(Clone)]
pub struct FileJournal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    recovered: Recovered,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJournal").field("recovered", &self.0.recovered).finish_non_exhaustive()
    }
}

impl FileJournal {
    /// Opens the journal of this folder, or makes it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. The files are as they were, except that a part of damaged segments may be written twice after
    /// [`OpenError::Io`] with [`Damaged::Accept`](crate::Damaged::Accept): the next journal reads each record once.
    pub fn open(folder: impl AsRef<Path>, config: JournalConfig) -> Result<Self, OpenError> {
        config.check()?;
        let path = folder.as_ref();
        let opened = open(Folder::lock(path)?, &config)?;
        let recovered = opened.recovered.clone();
        if let Some(torn) = &recovered.torn {
            let (file, events) = (torn.file.display(), torn.events.len());
            tracing::warn!(%file, offset = torn.offset, bytes = torn.bytes, events, "an incomplete group was cut off");
        }
        for damage in &recovered.damages {
            tracing::error!(%damage, "acknowledged records cannot be read");
        }
        let io = |why: String| OpenError::Io { path: path.to_owned(), why };
        let writer = Writer::new(opened, config).map_err(|error| io(error.to_string()))?;
        let shared = writer.shared();
        // A thread of its own: a runtime that shuts down waits for its pool of blocking threads, and this one runs as
        // long as the journal.
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(|| writer.run());
        let thread = Some(thread.map_err(|error| io(error.to_string()))?);
        Ok(Self(Arc::new(Handle { shared, recovered, thread })))
    }

    /// What was found when the journal was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.0.recovered
    }

    /// What the journal has done since it was opened, and what it holds.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.shared.state().figures
    }

    /// Adds records to the group that is written next, and waits until they are on the disk.
    async fn write(&self, records: impl Iterator<Item = Change>) -> Result<(), WriteError> {
        let shared = &self.0.shared;
        let outcome = {
            let mut state = shared.state();
            join(&mut state, records, &shared.config)?;
            state.group.outcome()
        };
        shared.wake();
        outcome.wait().await
    }
}

/// What a caller wants to be recorded. A record has a number besides, which the group gives it.
enum Change {
    Append(Arc<Event>),
    End(EventId, End),
}

/// Adds the records of a call to the group: all, or none.
fn join(
    state: &mut State,
    changes: impl Iterator<Item = Change>,
    config: &JournalConfig,
) -> Result<(), WriteError> {
    if let Some(broken) = &state.broken {
        return Err(broken.clone());
    }
    let State { group, next_number, figures, .. } = state;
    let (bytes, records) = (group.bytes.len(), group.records.len());
    let mut join = |change: Change| {
        let (record, is_append) = match change {
            Change::Append(event) => (Record::Pending { number: *next_number, event }, true),
            Change::End(_, End::Dead(letter)) => {
                (Record::Dead { number: *next_number, letter }, false)
            }
            Change::End(id, End::Delivered | End::Withdrawn) => (Record::Ended { id }, false),
        };
        *next_number += 1;
        let length = match record.write(&mut group.bytes) {
            Ok(length) if u64::from(length) <= config.segment_bytes => length,
            Ok(length) => return Err(too_large(&record, u64::from(length), config)),
            Err(length) => return Err(too_large(&record, length as u64, config)),
        };
        // Ends are written beyond the limit: they make room.
        if is_append && figures.disk_bytes + group.bytes.len() as u64 > config.max_bytes {
            return Err(WriteError::Full { max_bytes: config.max_bytes });
        }
        group.records.push((record, length));
        Ok(())
    };
    let mut changes = changes;
    let joined = changes.try_for_each(&mut join);
    if joined.is_err() {
        group.bytes.truncate(bytes);
        group.records.truncate(records);
    }
    joined
}

fn too_large(record: &Record, bytes: u64, config: &JournalConfig) -> WriteError {
    let id = match record {
        Record::Ended { id } => id.clone(),
        other => other.keeps().cloned().unwrap_or_else(|| EventId::new("")),
    };
    WriteError::TooLarge { id, bytes, segment_bytes: config.segment_bytes }
}

impl Journal for FileJournal {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let changes = events.iter().map(|event| Change::Append(Arc::clone(event)));
        Ok(self.write(changes).await?)
    }

    async fn done(&self, ends: &[(EventId, End)]) -> Result<(), JournalError> {
        if ends.is_empty() {
            return Ok(());
        }
        let changes = ends.iter().map(|(id, end)| Change::End(id.clone(), end.clone()));
        Ok(self.write(changes).await?)
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        Ok(self.0.shared.index().loaded())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // The lock is released when this returns. A panic of the thread was reported.
            let _ = thread.join();
        }
    }
}
