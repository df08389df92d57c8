//! A store in a file.

mod encoding;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use level4_kv::Fault;
use level5::sync_engine::{Saved, Store, StoreError};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableError,
};

/// By id: the record as [`encoding`] writes it.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// The number of the format, under the key 0.
const NUMBERS: TableDefinition<'_, u8, u64> = TableDefinition::new("format");
/// The format of this version.
const FORMAT: u64 = 1;

/// redb's cache. The engine has the records in memory; the store only needs the pages that a save changes.
const CACHE: usize = 4 << 20;

/// Why a file is no store, or did not do what it was asked for. What was confirmed earlier is in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The disk is full, or the file has reached a limit of the system.
    #[error("{path}: no space is left on the disk")]
    NoSpace {
        /// The file.
        path: String,
    },
    /// Another process, or another store of this one, has the file open.
    #[error("{path} is in use: a store has one owner at a time")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file holds something else than what was written. It was not changed.
    #[error("{path} is damaged: {why}; restore it from a backup, or choose another file")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The file is no store of records. It was not changed.
    #[error("{path} is no store of records: {why}; choose another file")]
    NotAStore {
        /// The file.
        path: String,
        /// What it is instead.
        why: String,
    },
    /// A newer version of the program has written the file. It was not changed.
    #[error("{path} has format {found}, and this program knows {FORMAT}: use the newer program")]
    Newer {
        /// The file.
        path: String,
        /// The number of its format.
        found: u64,
    },
    /// The file cannot be read or written.
    #[error("{path}: {why}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        Self(error.to_string())
    }
}

type Opens = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// Keeps the records of an engine in a file: those of each source, the versions, the deletions and the decisions.
///
/// What [`Store::save`] has confirmed is on the disk, and is there after a crash of the process or of the machine. A save
/// is in the file as a whole or not at all. After an error the store opens the file again by itself, so that the engine's
/// next save succeeds as soon as the disk has room.
///
/// Its clones share the file. It is free again when the last one is dropped. An engine that is dropped has one in each of
/// its tasks, until the runtime has ended them.
///
/// ```no_run
/// use level5::sync_engine::{Config, Engine};
/// use level5::wall_clock::SystemWall;
/// use level5_sources::DiskStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = DiskStore::open("records.redb")?;
/// let engine = Engine::start(Config::default(), store, SystemWall).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Blocking
///
/// Loads and saves run on tokio's threads for blocking work. [`open`](Self::open) reads the whole file on the caller's
/// thread.
///
/// # Cancellation
///
/// A save that is dropped may be completed. A later one still replaces it, never the other way round.
#[derive(Clone)]
pub struct DiskStore {
    file: Arc<StoreFile>,
    /// Held by a save until the disk has it, also if its future was dropped: otherwise the older state of two saves could
    /// be written last. In an `Arc`, because the guard moves to another thread.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct StoreFile {
    path: PathBuf,
    opens: Opens,
    /// `None` after an error of the disk: redb takes no calls after one, so the next call opens the file again. The lock is
    /// held during a call. There is one save at a time, and loads are at the start.
    database: Mutex<Option<Database>>,
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl DiskStore {
    /// Opens the file, or makes it. The whole file is read, and the checksum of every page is checked.
    ///
    /// # Errors
    ///
    /// [`DiskError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DiskError> {
        let path = path.as_ref();
        if !path.exists() {
            Self::make(path)?;
        }
        Self::on(path.to_owned(), opens(path))
    }

    /// Makes an empty store. It gets its name when it is complete: a file that a crash has left in the middle of its making
    /// is no store, and would be refused at the next start.
    fn make(path: &Path) -> Result<(), DiskError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // By process: another one that does the same at this moment has its own.
        name.push(format!(".new-{}", std::process::id()));
        let unfinished = path.with_file_name(name);
        let failed = |error| error_of(&redb::Error::Io(error), path);
        // A process with this number has died here before.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        drop(Self::on(unfinished.clone(), opens(&unfinished))?);
        // A link and not a rename, which would replace the store that another process has made meanwhile.
        let linked = match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A disk without links.
            Err(_) => fs::rename(&unfinished, path),
            Ok(()) => Ok(()),
        };
        let _ = fs::remove_file(&unfinished);
        linked.and_then(|()| sync_folder(path)).map_err(failed)
    }

    fn on(path: PathBuf, opens: Opens) -> Result<Self, DiskError> {
        let file = StoreFile { path, opens, database: Mutex::new(None) };
        file.with(|_| Ok(()))?;
        Ok(Self { file: Arc::new(file), turn: Arc::default() })
    }

    /// Runs `work` on a thread where it may wait for the disk, in the order of the calls.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StoreFile) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let file = Arc::clone(&self.file);
        let ran = tokio::task::spawn_blocking(move || {
            let done = work(&file);
            drop(turn);
            done
        });
        // An error is the end of the runtime, or a panic.
        Ok(ran.await.map_err(|error| StoreError(error.to_string()))??)
    }
}

impl Store for DiskStore {
    async fn load(&self) -> Result<Vec<Saved>, StoreError> {
        self.run(StoreFile::load).await
    }

    async fn save(&self, batch: Vec<Saved>) -> Result<(), StoreError> {
        self.run(move |file| file.save(&batch)).await
    }
}

impl StoreFile {
    fn load(&self) -> Result<Vec<Saved>, DiskError> {
        let texts = self.with(|database| {
            let records = database.begin_read()?.open_table(RECORDS)?;
            let mut texts = Vec::new();
            for entry in records.iter()? {
                let (id, text) = entry?;
                texts.push((id.value().to_owned(), text.value().to_vec()));
            }
            Ok(texts)
        })?;
        let read = |(id, text): (String, Vec<u8>)| {
            encoding::of_text(&id, &text).map_err(|why| DiskError::Damaged {
                path: self.shown(),
                why: format!("the record `{id}`: {why}"),
            })
        };
        texts.into_iter().map(read).collect()
    }

    fn save(&self, batch: &[Saved]) -> Result<(), DiskError> {
        // Before the transaction: a text that cannot be made changes nothing.
        let text = |saved: &Saved| match encoding::to_text(saved) {
            Ok(text) => Ok((saved.id.clone(), text)),
            Err(why) => Err(DiskError::Io { path: self.shown(), why }),
        };
        let texts: Vec<_> = batch.iter().map(text).collect::<Result<_, _>>()?;
        self.with(|database| {
            // One transaction: a crash leaves all of the batch or none. `commit` returns when the disk has it.
            let transaction = database.begin_write()?;
            {
                let mut records = transaction.open_table(RECORDS)?;
                for (id, text) in &texts {
                    records.insert(id.as_str(), text.as_slice())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// Does something with the open database, and opens it first if need be.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, DiskError> {
        let mut place = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match place.take() {
            Some(database) => database,
            None => {
                let opened = (self.opens)().map_err(redb::Error::from);
                let database = opened.map_err(|error| self.error(&error))?;
                self.prepare(&database)?;
                database
            }
        };
        match work(&database) {
            Ok(done) => {
                *place = Some(database);
                Ok(done)
            }
            // The file is closed here. What was committed is in it.
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Makes the tables of a file that has none, and reads the format of one that has.
    fn prepare(&self, database: &Database) -> Result<(), DiskError> {
        let found = || {
            let reads = database.begin_read()?;
            match reads.open_table(NUMBERS) {
                Ok(numbers) => Ok(numbers.get(0)?.map(|number| number.value())),
                Err(TableError::TableDoesNotExist(_)) => {
                    // Tables of another program, or none at all.
                    Ok(reads.list_tables()?.next().is_some().then_some(0))
                }
                Err(error) => Err(redb::Error::from(error)),
            }
        };
        match found().map_err(|error| self.error(&error))? {
            Some(FORMAT) => Ok(()),
            Some(0) => {
                let why = "it has other tables".to_owned();
                Err(DiskError::NotAStore { path: self.shown(), why })
            }
            Some(found) => Err(DiskError::Newer { path: self.shown(), found }),
            None => {
                let makes = || {
                    // One transaction: after a crash there are both tables or none.
                    let transaction = database.begin_write()?;
                    transaction.open_table(RECORDS).map(drop)?;
                    transaction.open_table(NUMBERS)?.insert(0, FORMAT)?;
                    Ok(transaction.commit()?)
                };
                makes().map_err(|error: redb::Error| self.error(&error))
            }
        }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn error(&self, error: &redb::Error) -> DiskError {
        error_of(error, &self.path)
    }
}

fn opens(path: &Path) -> Opens {
    let path = path.to_owned();
    Box::new(move || {
        Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create(&path)
    })
}

/// Without this a crash of the machine may forget that there is a file.
#[cfg(unix)]
#[expect(clippy::disallowed_types, reason = "a folder is synced through its handle")]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::File::open(folder)?.sync_all()
}

/// The system has no such call, and needs none.
#[cfg(not(unix))]
const fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn error_of(error: &redb::Error, path: &Path) -> DiskError {
    let (path, why) = (path.display().to_string(), error.to_string());
    match Fault::of(error) {
        Fault::NoSpace => DiskError::NoSpace { path },
        Fault::InUse => DiskError::InUse { path },
        Fault::Damaged => DiskError::Damaged { path, why },
        Fault::NotAStore => DiskError::NotAStore { path, why },
        Fault::Io => DiskError::Io { path, why },
    }
}
