//! A file that is watched.

mod changes;
mod disk;
mod signals;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level5::conflict::SourceId;
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{Incoming, RecordId, Source};
use tokio::time::{Instant, sleep};

use crate::known::{Absent, Known};
use crate::layout::{Layout, LayoutError, Listed};
use disk::{Look, Print, look};
use signals::Signals;

pub use changes::{Changes, follow};

/// How a file holds its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document with all records in an array.
    Document,
    /// A record on each line. Of two lines with the same id the later one counts, unless its own stamp is older.
    Lines,
}

/// What it means that the file is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The source has failed: the disk with the file may be away. Its records stay as they are.
    Fails,
    /// The source has no records: all were deleted, at the time of the last change of the folder.
    Empty,
}

/// How a file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// The names of members.
    pub layout: Layout,
    /// How the file holds its records.
    pub format: Format,
    /// What it means that the file has a record no more.
    pub absent: Absent,
    /// What it means that there is no file.
    pub missing: Missing,
    /// The pause before a file is read again that is being written, and between a change and the answer of
    /// [`Changes::next`].
    pub settle: Duration,
    /// How long a file may be incomplete or missing before that is a failure. It should be less than the engine's
    /// `fetch_timeout`.
    pub patience: Duration,
    /// The most bytes of the file.
    pub most: u64,
}

impl FileConfig {
    /// One document with all records: one that is missing was deleted, and a missing file is a failure.
    #[must_use]
    pub fn document() -> Self {
        Self {
            layout: Layout::default(),
            format: Format::Document,
            absent: Absent::Deleted,
            missing: Missing::Fails,
            settle: Duration::from_millis(50),
            patience: Duration::from_secs(1),
            most: 64 << 20,
        }
    }

    /// Lines to which a writer appends: a record that is missing is as before, and a deletion is a line of its own.
    #[must_use]
    pub fn lines() -> Self {
        Self { format: Format::Lines, absent: Absent::Unchanged, ..Self::document() }
    }
}

/// Why a file cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The path names no file.
    #[error("{} names no file", .0.display())]
    NoName(PathBuf),
    /// The folder of the file cannot be watched.
    #[error("{} cannot be watched: {why}", folder.display())]
    Watch {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// Records in a file that other programs, or an editor, write.
///
/// The folder is watched, so that a poll reads the file only if it may have changed, and [`changes`](Self::changes)
/// wakes its caller at once. Where the system reports no changes, the folder is looked at each second. A poll also
/// compares the time and the length of the file, so that no change is lost with a notice.
///
/// A record without a time of its own was written when the file was (its `mtime`), if it has another content than
/// before. A record that is missing from a file of [all records](Absent::Deleted) was deleted then. After a restart the
/// source finds such a deletion only with what was [known](crate::known).
///
/// # Partial writes
///
/// The best writer makes a new file and renames it: a reader sees the old one or the new one. What others leave between:
///
/// | the file | the source |
/// |---|---|
/// | is a document that is cut off | waits up to `patience` for the rest; what was known stays. After that it is a failure |
/// | has a last line that is cut off | leaves out that line until it is complete |
/// | has lines with all records | is read when it has not changed for `settle`, since a part of it looks like a deletion of the rest |
/// | changes while it is read | is read again |
/// | is missing, as between two steps of an editor that saves | as a document that is cut off |
///
/// # Blocking
///
/// The file is read on tokio's threads for blocking work.
///
/// # Cancellation
///
/// A poll that is dropped has changed nothing. The watch ends with the source and its [`Changes`].
pub struct FileSource {
    inner: Arc<Inner>,
}

struct Inner {
    id: SourceId,
    path: PathBuf,
    folder: PathBuf,
    config: FileConfig,
    signals: Signals,
    /// Of `std`: it is never held across an await.
    state: Mutex<State>,
    /// Held while the file is read, so that an older content is never taken after a newer one. Of tokio, since a reading
    /// waits.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    /// What was read last, or could not be read: the same is not read again.
    last: Option<(Print, Result<(), SourceError>)>,
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, path, .. } = &*self.inner;
        f.debug_struct("FileSource").field("id", id).field("path", path).finish_non_exhaustive()
    }
}

impl FileSource {
    /// Watches the file, which need not be there yet. Its folder must be. `known` is what the source has delivered in
    /// earlier runs: see [`known`](crate::known).
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn open(
        id: SourceId,
        path: impl AsRef<Path>,
        config: FileConfig,
        known: Vec<Incoming>,
    ) -> Result<Self, FileError> {
        let path = path.as_ref().to_owned();
        let Some(name) = path.file_name() else {
            return Err(FileError::NoName(path));
        };
        // The folder and not the file: a watch of a file ends when the file is replaced.
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if !folder.is_dir() {
            return Err(FileError::Watch { folder, why: "there is no such folder".to_owned() });
        }
        // What a link leads to may be replaced under any name.
        let is_link = path.symlink_metadata().is_ok_and(|file| file.is_symlink());
        let signals = Signals::watch(&folder, (!is_link).then(|| name.to_owned()))
            .map_err(|why| FileError::Watch { folder: folder.clone(), why })?;
        let state = State { known: Known::new(known), last: None };
        let (state, turn) = (Mutex::new(state), tokio::sync::Mutex::default());
        Ok(Self { inner: Arc::new(Inner { id, path, folder, config, signals, state, turn }) })
    }

    /// The changes of the file from now on, for [`follow`].
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.inner))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it may have changed. Returns the ids of the records that have.
    async fn refresh(&self) -> Result<Vec<RecordId>, SourceError> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        // Of all records on lines a part is no error, and looks like deletions: it has to stand still.
        let must_rest =
            self.config.format == Format::Lines && self.config.absent == Absent::Deleted;
        let mut rested: Option<Print> = None;
        loop {
            let last = self.state().last.clone();
            // Before the file is looked at: a change in between is seen again by the next call.
            let notices = self.signals.count();
            let (path, folder, most) = (self.path.clone(), self.folder.clone(), self.config.most);
            let before = last.as_ref().map(|(print, _)| print.clone());
            let looked = tokio::task::spawn_blocking(move || {
                look(&path, &folder, most, notices, before.as_ref())
            });
            // Once for this round: a missing file must not be late for the one check and early for the other.
            let is_over = began.elapsed() >= self.config.patience;
            // An error is the end of the runtime, or a panic.
            let looked = looked.await.map_err(|error| SourceError(error.to_string()))?;
            let (print, problem) = match looked {
                Look::Same => return last.map_or(Ok(()), |(_, outcome)| outcome).map(|()| vec![]),
                Look::File(print, _) if must_rest && rested.as_ref() != Some(&print) => {
                    rested = Some(print.clone());
                    (print, "it is being written".to_owned())
                }
                Look::File(print, text) => match self.parse(&text) {
                    Ok(listed) => return Ok(self.take(print, listed)),
                    Err(error) => (print, error.to_string()),
                },
                Look::Missing(print) if is_over && self.config.missing == Missing::Empty => {
                    return Ok(self.take_nothing(print));
                }
                Look::Missing(print) => (print, "there is no file".to_owned()),
                Look::Changing(print) => (print, "it is being written".to_owned()),
                Look::Failed(print, why) => (print, why),
            };
            if is_over {
                let error = SourceError(format!("{}: {problem}", self.path.display()));
                // The same file fails at once the next time, without another wait.
                self.state().last = Some((print, Err(error.clone())));
                return Err(error);
            }
            sleep(self.config.settle.max(Duration::from_millis(1))).await;
        }
    }

    fn parse(&self, text: &[u8]) -> Result<Vec<Listed>, LayoutError> {
        match self.config.format {
            Format::Document => self.config.layout.document(text),
            Format::Lines => self.config.layout.lines(text),
        }
    }

    fn take(&self, print: Print, listed: Vec<Listed>) -> Vec<RecordId> {
        let written = print.written();
        let mut state = self.state();
        state.last = Some((print, Ok(())));
        match self.config.absent {
            Absent::Deleted => state.known.take_all(listed, written),
            Absent::Unchanged => state.known.take(listed, written, Absent::Unchanged),
        }
    }

    fn take_nothing(&self, print: Print) -> Vec<RecordId> {
        let written = print.written();
        let mut state = self.state();
        state.last = Some((print, Ok(())));
        state.known.take_all(Vec::new(), written)
    }
}

impl Source for FileSource {
    fn id(&self) -> SourceId {
        self.inner.id.clone()
    }

    async fn fetch_all(&self) -> Result<Vec<Incoming>, SourceError> {
        self.inner.refresh().await?;
        Ok(self.inner.state().known.all())
    }

    async fn fetch(&self, ids: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        self.inner.refresh().await?;
        Ok(self.inner.state().known.some(ids))
    }
}
