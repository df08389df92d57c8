//! A store in a file.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use redb::{
    Builder, Database, Key, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _,
    Table, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Applied, Change, End, InboxItem, Letter, Limits, Loaded, Parcel, Status, Store, StoreError,
};
use crate::entry::Entry;
use crate::profile::Known;

/// Values are JSON, so that a store can be read and extended. Numbers give the order.
type Numbered = TableDefinition<'static, u64, &'static [u8]>;
type Named<V> = TableDefinition<'static, &'static str, V>;

/// Numbers that outlast the process: `last`, and the `format`.
const META: Named<u64> = TableDefinition::new("meta");
const PENDING: Numbered = TableDefinition::new("pending");
const PENDING_IDS: Named<u64> = TableDefinition::new("pending_ids");
const ENDED: Numbered = TableDefinition::new("ended");
const ENDED_IDS: Named<u64> = TableDefinition::new("ended_ids");
const DEAD: Numbered = TableDefinition::new("dead");
const DEAD_IDS: Named<u64> = TableDefinition::new("dead_ids");
const PROFILES: Named<&[u8]> = TableDefinition::new("profiles");
const PARCELS: Named<&[u8]> = TableDefinition::new("parcels");
/// By user and number.
const INBOX: TableDefinition<'static, (&str, u64), &[u8]> = TableDefinition::new("inbox");
/// By user and notification: the number of the message.
const INBOX_IDS: TableDefinition<'static, (&str, &str), u64> = TableDefinition::new("inbox_ids");

const FORMAT: u64 = 1;
/// redb's cache. Its default of 1 GiB is for more data than waits here.
const CACHE: usize = 16 << 20;
/// The most calls that are written together.
const GROUP: usize = 512;
/// The most calls that wait for the writer. More callers wait for a place.
const QUEUE: usize = 4096;

/// Keeps everything in a file. A change that was answered is on the disk: it is there after a crash of the process or
/// of the machine.
///
/// A thread of the store writes. Calls that come while it waits for the disk are written together, with one sync.
///
/// # Blocking
///
/// [`open`](Self::open) checks the whole file. Reads do not wait for writes. Dropping the store waits until what was
/// begun is written.
pub struct Disk {
    path: PathBuf,
    database: Arc<Database>,
    // `None` in the destructor only.
    jobs: Option<mpsc::Sender<Job>>,
    broken: watch::Receiver<Option<StoreError>>,
    thread: Option<JoinHandle<()>>,
}

/// A call of `apply`, on its way to the writer.
struct Job {
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<Vec<Applied>, StoreError>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. A file that is no store stays as it is.
    pub fn open(path: impl AsRef<Path>, limits: Limits) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let at = |error: redb::Error| StoreError::of(&error, &path);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create(&path).map_err(|error| at(error.into()))?;
        let format = prepare(&database).map_err(at)?;
        if format != FORMAT {
            let (path, why) = (path.display().to_string(), format!("its format is {format}"));
            return Err(StoreError::NotAStore { path, why });
        }
        let database = Arc::new(database);
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (breaks, broken) = watch::channel(None);
        let writer = Writer { path: path.clone(), database: Arc::clone(&database), limits, breaks };
        // A thread of its own: a runtime that shuts down waits for its pool of blocking threads, and this one runs as
        // long as the store.
        let thread = thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || writer.run(waiting)).map_err(|error| at(error.into()))?;
        Ok(Self { path, database, jobs: Some(jobs), broken, thread: Some(thread) })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from);
        transaction
            .and_then(|transaction| read(&transaction))
            .map_err(|error| StoreError::of(&error, &self.path))
    }

    fn gone(&self) -> StoreError {
        let known = self.broken.borrow().clone();
        known.unwrap_or_else(|| StoreError::Io {
            path: self.path.display().to_string(),
            why: "the writer has ended".to_owned(),
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The writer ends when no sender is left.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The lock of the file is released when this returns. A panic of the thread was reported.
            let _ = thread.join();
        }
    }
}

/// Makes the tables of a new file. Returns the format of the file.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let format = {
        let mut meta = transaction.open_table(META)?;
        let format = meta.get("format")?.map(|format| format.value());
        if format.is_none() {
            meta.insert("format", FORMAT)?;
        }
        format.unwrap_or(FORMAT)
    };
    if format == FORMAT {
        for table in [PENDING, ENDED, DEAD] {
            transaction.open_table(table)?;
        }
        for table in [PENDING_IDS, ENDED_IDS, DEAD_IDS] {
            transaction.open_table(table)?;
        }
        for table in [PROFILES, PARCELS] {
            transaction.open_table(table)?;
        }
        transaction.open_table(INBOX)?;
        transaction.open_table(INBOX_IDS)?;
        transaction.commit()?;
    }
    Ok(format)
}

/// The side of the store that changes it.
struct Writer {
    path: PathBuf,
    database: Arc<Database>,
    limits: Limits,
    breaks: watch::Sender<Option<StoreError>>,
}

impl Writer {
    /// Writes until every sender is gone.
    fn run(self, mut waiting: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
            let mut jobs = Vec::new();
            let mut changes = Vec::new();
            for job in group.drain(..) {
                jobs.push(job.answer);
                changes.push(job.changes);
            }
            // After an error redb takes no calls until the file is opened again, and its owner has been told.
            let broken = self.breaks.borrow().clone();
            let written = match broken {
                Some(error) => Err(error),
                None => self.write(changes),
            };
            match written {
                Ok(answers) => {
                    for (job, answer) in jobs.into_iter().zip(answers) {
                        // An error says that the caller has dropped its call.
                        let _ = job.send(Ok(answer));
                    }
                }
                Err(error) => {
                    self.breaks.send_replace(Some(error.clone()));
                    for job in jobs {
                        let _ = job.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Writes the changes of several calls in one transaction: with one sync they are all safe, or none is.
    fn write(&self, calls: Vec<Vec<Change>>) -> Result<Vec<Vec<Applied>>, StoreError> {
        let written = self.database.begin_write().map_err(redb::Error::from);
        let written = written.and_then(|transaction| {
            let mut answers = Vec::with_capacity(calls.len());
            {
                let mut tables = Tables::open(&transaction, self.limits)?;
                for changes in calls {
                    let applied = changes.into_iter().map(|change| tables.apply(change));
                    answers.push(applied.collect::<Result<Vec<_>, redb::Error>>()?);
                }
                tables.meta.insert("last", tables.last)?;
            }
            transaction.commit()?;
            Ok(answers)
        });
        written.map_err(|error| StoreError::of(&error, &self.path))
    }
}

/// The tables within a transaction.
struct Tables<'t> {
    limits: Limits,
    last: u64,
    meta: Table<'t, &'static str, u64>,
    pending: Table<'t, u64, &'static [u8]>,
    pending_ids: Table<'t, &'static str, u64>,
    ended: Table<'t, u64, &'static [u8]>,
    ended_ids: Table<'t, &'static str, u64>,
    dead: Table<'t, u64, &'static [u8]>,
    dead_ids: Table<'t, &'static str, u64>,
    profiles: Table<'t, &'static str, &'static [u8]>,
    parcels: Table<'t, &'static str, &'static [u8]>,
    inbox: Table<'t, (&'static str, u64), &'static [u8]>,
    inbox_ids: Table<'t, (&'static str, &'static str), u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction, limits: Limits) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let last = meta.get("last")?.map_or(0, |last| last.value());
        Ok(Self {
            limits,
            last,
            meta,
            pending: transaction.open_table(PENDING)?,
            pending_ids: transaction.open_table(PENDING_IDS)?,
            ended: transaction.open_table(ENDED)?,
            ended_ids: transaction.open_table(ENDED_IDS)?,
            dead: transaction.open_table(DEAD)?,
            dead_ids: transaction.open_table(DEAD_IDS)?,
            profiles: transaction.open_table(PROFILES)?,
            parcels: transaction.open_table(PARCELS)?,
            inbox: transaction.open_table(INBOX)?,
            inbox_ids: transaction.open_table(INBOX_IDS)?,
        })
    }

    const fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn apply(&mut self, change: Change) -> Result<Applied, redb::Error> {
        let done = match change {
            Change::Accept(entry) => self.accept(&entry)?,
            Change::Forget(id) => take(&mut self.pending_ids, &mut self.pending, &id)?.is_some(),
            Change::Profile(user, known) => {
                self.profiles.insert(user.as_str(), json(&known)?.as_slice())?;
                true
            }
            Change::Parcel(parcel) => {
                self.parcels.insert(parcel.key.as_str(), json(&parcel)?.as_slice())?;
                true
            }
            Change::DropParcel(key) => self.parcels.remove(key.as_str())?.is_some(),
            Change::Inbox(user, item) => self.file(&user, item)?,
            Change::End(id, end) => self.end(&id, end)?,
        };
        Ok(if done { Applied::Done } else { Applied::Nothing })
    }

    fn accept(&mut self, entry: &Entry) -> Result<bool, redb::Error> {
        let id = entry.request.id.as_str();
        if self.pending_ids.get(id)?.is_some() || self.ended_ids.get(id)?.is_some() {
            return Ok(false);
        }
        take(&mut self.dead_ids, &mut self.dead, id)?;
        let number = self.next();
        self.pending_ids.insert(id, number)?;
        self.pending.insert(number, json(entry)?.as_slice())?;
        Ok(true)
    }

    fn file(&mut self, user: &str, item: InboxItem) -> Result<bool, redb::Error> {
        if self.inbox_ids.get((user, item.id.as_str()))?.is_some() {
            return Ok(false);
        }
        let number = self.next();
        let item = InboxItem { number, ..item };
        self.inbox_ids.insert((user, item.id.as_str()), number)?;
        self.inbox.insert((user, number), json(&item)?.as_slice())?;
        // Bounded by the limit, so the count is cheap.
        let messages = self.inbox.range((user, 0)..=(user, u64::MAX))?.count();
        if messages > self.limits.inbox.get() {
            let oldest: Option<InboxItem> = {
                let first = self.inbox.range((user, 0)..=(user, u64::MAX))?.next().transpose()?;
                first.map(|(_, value)| parse(value.value())).transpose()?
            };
            if let Some(oldest) = oldest {
                self.inbox.remove((user, oldest.number))?;
                self.inbox_ids.remove((user, oldest.id.as_str()))?;
            }
        }
        Ok(true)
    }

    fn end(&mut self, id: &str, end: End) -> Result<bool, redb::Error> {
        let Some(entry) = take(&mut self.pending_ids, &mut self.pending, id)? else {
            return Ok(false);
        };
        let number = self.next();
        if let End::Dead { why } = end {
            let letter = Letter { entry: parse(&entry)?, why };
            self.dead_ids.insert(id, number)?;
            self.dead.insert(number, json(&letter)?.as_slice())?;
            let name = |letter: Letter| letter.entry.request.id;
            shorten(&mut self.dead_ids, &mut self.dead, self.limits.dead, name)?;
        } else {
            self.ended_ids.insert(id, number)?;
            self.ended.insert(number, json(&(id, end))?.as_slice())?;
            let name = |(id, _): (String, End)| id;
            shorten(&mut self.ended_ids, &mut self.ended, self.limits.ended, name)?;
        }
        Ok(true)
    }
}

/// Removes the record of an id, and returns it.
fn take(
    ids: &mut Table<'_, &'static str, u64>,
    records: &mut Table<'_, u64, &'static [u8]>,
    id: &str,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let number = ids.remove(id)?.map(|number| number.value());
    let Some(number) = number else { return Ok(None) };
    Ok(records.remove(number)?.map(|record| record.value().to_owned()))
}

/// Removes the oldest record if there are too many.
fn shorten<T: DeserializeOwned>(
    ids: &mut Table<'_, &'static str, u64>,
    records: &mut Table<'_, u64, &'static [u8]>,
    most: NonZeroUsize,
    id: impl FnOnce(T) -> String,
) -> Result<(), redb::Error> {
    if records.len()? > most.get() as u64 {
        let oldest = records.pop_first()?.map(|(_, record)| parse(record.value())).transpose()?;
        if let Some(oldest) = oldest {
            ids.remove(id(oldest).as_str())?;
        }
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|why| redb::Error::Io(why.into()))
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(json).map_err(|why| redb::Error::Corrupted(format!("a record: {why}")))
}

/// The values of a table, in the order of its keys.
fn values<K: Key + 'static, T: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static [u8]>,
) -> Result<Vec<T>, redb::Error> {
    table.iter()?.map(|record| parse(record?.1.value())).collect()
}

/// The record of an id.
fn find<T: DeserializeOwned>(
    transaction: &redb::ReadTransaction,
    ids: Named<u64>,
    records: Numbered,
    id: &str,
) -> Result<Option<T>, redb::Error> {
    let number = transaction.open_table(ids)?.get(id)?.map(|number| number.value());
    let Some(number) = number else { return Ok(None) };
    let record = transaction.open_table(records)?.get(number)?;
    record.map(|record| parse(record.value())).transpose()
}

impl Store for Disk {
    fn apply(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Vec<Applied>, StoreError>> {
        async move {
            let (answer, answered) = oneshot::channel();
            let jobs = self.jobs.as_ref().ok_or_else(|| self.gone())?;
            jobs.send(Job { changes, answer }).await.map_err(|_| self.gone())?;
            answered.await.unwrap_or_else(|_| Err(self.gone()))
        }
        .boxed()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        self.read(|transaction| {
            let mut profiles = Vec::new();
            for record in transaction.open_table(PROFILES)?.iter()? {
                let (user, known) = record?;
                profiles.push((user.value().to_owned(), parse::<Known>(known.value())?));
            }
            Ok(Loaded {
                pending: values(&transaction.open_table(PENDING)?)?,
                profiles,
                parcels: values::<_, Parcel>(&transaction.open_table(PARCELS)?)?,
            })
        })
    }

    fn inbox(&self, user: &str, after: u64, most: usize) -> Result<Vec<InboxItem>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(INBOX)?;
            let newer = table.range((user, after.saturating_add(1))..=(user, u64::MAX))?;
            newer.take(most).map(|record| parse(record?.1.value())).collect()
        })
    }

    fn status(&self, id: &str) -> Result<Option<Status>, StoreError> {
        self.read(|transaction| {
            if transaction.open_table(PENDING_IDS)?.get(id)?.is_some() {
                return Ok(Some(Status::Pending));
            }
            if let Some((_, end)) = find::<(String, End)>(transaction, ENDED_IDS, ENDED, id)? {
                return Ok(Some(Status::Ended(end)));
            }
            Ok(find(transaction, DEAD_IDS, DEAD, id)?.map(Status::Dead))
        })
    }

    fn letters(&self) -> Result<Vec<Letter>, StoreError> {
        self.read(|transaction| values(&transaction.open_table(DEAD)?))
    }

    fn broken(&self) -> BoxFuture<'_, StoreError> {
        let mut broken = self.broken.clone();
        async move {
            match broken.wait_for(Option::is_some).await {
                Ok(error) => Option::clone(&error),
                Err(_) => None,
            }
            .unwrap_or_else(|| self.gone())
        }
        .boxed()
    }
}
