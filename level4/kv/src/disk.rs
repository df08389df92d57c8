//! A store in a file.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use level4::dashboard::{KeyValue, KeyValueError, Stored};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableError, WriteTransaction,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::{StoreError, cost};

/// By key: when the text was put, in milliseconds since 1970, and the text.
const COPIES: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("copies");
/// What the copies and their keys count as, under the key 0. It changes with them, in one transaction.
const BYTES: TableDefinition<'_, u8, u64> = TableDefinition::new("bytes");

/// redb's cache. Its default of 1 GiB is for more data than a store of copies holds.
const CACHE: usize = 1 << 20;

type Opens = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// Keeps texts in a file.
///
/// A text that was accepted is on the disk: it is there after a crash of the process or of the machine. The file is
/// larger than what it keeps, since a change is written beside what it replaces.
///
/// Ages are by the machine's clock, which goes on while no process runs. If the clock was set back, the age of a text
/// is its distance to the time at which it was put.
///
/// # Blocking
///
/// A call of the trait waits for the disk. On a runtime with several threads [`KeyValue::put`] lets the other tasks of
/// its thread move to another one meanwhile. On a runtime with one thread they wait too.
///
/// # Cancellation
///
/// No call can be cancelled. Dropping the store closes the file.
pub struct Disk {
    path: PathBuf,
    most: u64,
    opens: Opens,
    clock: Clock,
    /// `None` after an error of the disk: redb takes no calls after one, so the next call opens the file again.
    database: RwLock<Option<Database>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).field("most", &self.most).finish()
    }
}

impl Disk {
    /// Opens the file, or makes it. Keeps `most` bytes of keys and texts at most.
    ///
    /// The whole file is read, and the checksum of every page is checked.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. A file that is no store stays as it is.
    #[expect(clippy::disallowed_methods, reason = "ages go on while no process runs")]
    pub fn open(path: impl AsRef<Path>, most: u64) -> Result<Self, StoreError> {
        Self::with_clock(path, most, SystemTime::now)
    }

    /// As [`open`](Self::open), with another clock.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn with_clock(
        path: impl AsRef<Path>,
        most: u64,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let file = path.clone();
        let opens = Box::new(move || {
            Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create(&file)
        });
        Self::new(path, most, opens, Box::new(clock))
    }

    fn new(path: PathBuf, most: u64, opens: Opens, clock: Clock) -> Result<Self, StoreError> {
        let store = Self { path, most, opens, clock, database: RwLock::new(None) };
        store.with(|_| Ok(()))?;
        Ok(store)
    }

    /// The text of a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn read(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let kept = self.with(|database| {
            let copies = database.begin_read()?.open_table(COPIES)?;
            let kept = copies.get(key)?;
            Ok(kept.map(|kept| {
                let (stamp, text) = kept.value();
                (stamp, text.to_owned())
            }))
        })?;
        let now = self.now();
        Ok(kept.map(|(stamp, text)| Stored { text, age: age(stamp, now) }))
    }

    /// Keeps a text, in place of an older one. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. An older text of the key stays, unless the disk failed after it had the new one.
    pub fn write(&self, key: &str, text: &str) -> Result<(), StoreError> {
        let stamp = self.now();
        let fits = self.with(|database| {
            let transaction = database.begin_write()?;
            let fits = insert(&transaction, key, (stamp, text), self.most)?;
            // A transaction that is dropped has changed nothing.
            if fits {
                transaction.commit()?;
            }
            Ok(fits)
        })?;
        if fits { Ok(()) } else { Err(StoreError::Full { most: self.most }) }
    }

    /// Removes what is at least that old. Returns how many texts those were.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Nothing was removed.
    pub fn remove_old(&self, than: Duration) -> Result<u64, StoreError> {
        let now = self.now();
        self.with(|database| {
            let transaction = database.begin_write()?;
            let (mut removed, mut freed) = (0, 0);
            transaction.open_table(COPIES)?.retain(|key, (stamp, text)| {
                let is_old = age(stamp, now) >= than;
                if is_old {
                    removed += 1;
                    freed += cost(key, text);
                }
                !is_old
            })?;
            {
                let mut bytes = transaction.open_table(BYTES)?;
                let kept = bytes.get(0)?.map_or(0, |bytes| bytes.value());
                bytes.insert(0, kept.saturating_sub(freed))?;
            }
            transaction.commit()?;
            Ok(removed)
        })
    }

    /// Now, in milliseconds since 1970.
    fn now(&self) -> u64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Does something with the open database, and opens it first if need be.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut open = self.database.read().unwrap_or_else(PoisonError::into_inner);
        while open.is_none() {
            drop(open);
            self.reopen()?;
            open = self.database.read().unwrap_or_else(PoisonError::into_inner);
        }
        let Some(database) = open.as_ref() else {
            return Err(self.error(&redb::Error::DatabaseClosed));
        };
        work(database).map_err(|error| {
            drop(open);
            if is_final(&error) {
                // Closes the file. What was committed is in it.
                *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            self.error(&error)
        })
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have done it.
        if place.is_none() {
            let opened = (self.opens)().map_err(redb::Error::from);
            let opened = opened.and_then(|database| prepare(&database).map(|()| database));
            *place = Some(opened.map_err(|error| self.error(&error))?);
        }
        Ok(())
    }

    fn error(&self, error: &redb::Error) -> StoreError {
        StoreError::of(error, &self.path)
    }
}

impl KeyValue for Disk {
    fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError> {
        self.read(key).map_err(|error| {
            tracing::warn!(key, %error, "a copy cannot be read");
            error.into()
        })
    }

    fn put(&self, key: &str, text: String) -> Result<(), KeyValueError> {
        blocking(|| self.write(key, &text)).map_err(|error| {
            tracing::warn!(key, %error, "a copy was not kept");
            error.into()
        })
    }
}

/// Waits for the disk without holding up the other tasks, where the runtime has a thread for them.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Makes the tables of a file that has none.
fn prepare(database: &Database) -> Result<(), redb::Error> {
    let is_missing = |error: &TableError| matches!(error, TableError::TableDoesNotExist(_));
    let reads = database.begin_read()?;
    let tables =
        reads.open_table(COPIES).map(drop).and_then(|()| reads.open_table(BYTES).map(drop));
    match tables {
        Ok(()) => Ok(()),
        Err(error) if is_missing(&error) => {
            let transaction = database.begin_write()?;
            transaction.open_table(COPIES).map(drop)?;
            transaction.open_table(BYTES).map(drop)?;
            Ok(transaction.commit()?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts a text within a transaction. Whether it fits.
fn insert(
    transaction: &WriteTransaction,
    key: &str,
    (stamp, text): (u64, &str),
    most: u64,
) -> Result<bool, redb::Error> {
    let mut copies = transaction.open_table(COPIES)?;
    let mut bytes = transaction.open_table(BYTES)?;
    let old = copies.get(key)?.map_or(0, |old| cost(key, old.value().1));
    let kept = bytes.get(0)?.map_or(0, |bytes| bytes.value());
    let kept = kept.saturating_sub(old).saturating_add(cost(key, text));
    if kept > most {
        return Ok(false);
    }
    copies.insert(key, (stamp, text))?;
    bytes.insert(0, kept)?;
    Ok(true)
}

/// Whether redb takes no further calls after this error.
const fn is_final(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Io(_)
            | redb::Error::PreviousIo
            | redb::Error::Corrupted(_)
            | redb::Error::LockPoisoned(_)
    )
}

/// The age of what was put at `stamp`, in milliseconds as `now`.
const fn age(stamp: u64, now: u64) -> Duration {
    Duration::from_millis(now.abs_diff(stamp))
}
