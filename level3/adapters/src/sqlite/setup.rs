//! Opens a file: refuses one that is not a store, and updates its schema.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use level3_domain::journal::StoreId;
use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::file::OpenedFile;
use super::presence::Presence;
use super::statements::{
    BEGIN, COMMIT, IDENTITY, MAKE_MIGRATIONS, MIGRATED, MIGRATIONS, SCHEMA, TABLES, WRITES,
};
use crate::sql::StoreError;

/// How long this process waits while another one holds the write lock. A group of writes takes
/// milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than this program has statements.
const CACHED_STATEMENTS: usize = 96;

/// An open file.
pub(super) struct Opened {
    pub(super) db: Connection,
    pub(super) file: OpenedFile,
    pub(super) presence: Presence,
    pub(super) identity: StoreId,
    pub(super) place: String,
}

/// Opens or creates the file and registers this process. Blocks.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let path = absolute(path)?;
    let place = path.display().to_string();
    make(&path, &place)?;
    let at = |fault: Fault| fault.at(&place);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags).map_err(|error| at(error.into()))?;
    let mut file = OpenedFile::at(&path)
        .map_err(|why| StoreError::Open { place: place.clone(), why: why.to_string() })?;
    // Checked before anything is changed: not even the journal mode of a foreign file may change.
    schema(&db, &place).map_err(at)?;
    configure(&db, &place).map_err(at)?;
    inspect(&db, &place).map_err(at)?;
    // If a step fails, the connection is dropped, which rolls back.
    let (presence, identity) =
        enter(&db, &path, &place).map_err(|fault| at(fault.of_a_store_to_open(&place)))?;
    file.remember(&db, identity.as_str()).map_err(at)?;
    Ok(Opened { db, file, presence, identity, place })
}

/// Opens a file to read it. Blocks.
///
/// A reader needs the files of the write-ahead log. If there are none, SQLite creates them. If it
/// may not create them, the file is complete and no process is writing to it, so it is opened
/// without a log.
pub(super) fn open_to_read(path: &Path) -> Result<(Connection, StoreId, String), StoreError> {
    let path = absolute(path)?;
    let place = path.display().to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let look = |db: rusqlite::Result<Connection>| -> Result<(Connection, StoreId), Fault> {
        let db = db?;
        db.busy_timeout(PATIENCE)?;
        // The first schema had no identity.
        let identity = match schema(&db, &place)? {
            0 => return Err(StoreError::Foreign { place: place.clone() }.into()),
            1 => StoreId::unnamed(),
            _ => identity(&db, &place).map_err(|fault| fault.of_a_store_to_open(&place))?,
        };
        Ok((db, identity))
    };
    let mut found = look(Connection::open_with_flags(&path, flags));
    if found.is_err() && !has_log(&path) {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        let whole = look(Connection::open_with_flags(unchanging(&path), flags));
        found = whole.or(found);
    }
    let (db, identity) = found.map_err(|fault| fault.at(&place))?;
    Ok((db, identity, place))
}

/// Returns whether there is a write-ahead log that is not empty.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Returns the URI of the file, with the promise to SQLite that the file does not change.
fn unchanging(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for character in path.to_string_lossy().chars() {
        match character {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            other => uri.push(other),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// Returns the absolute path: under another name of the same file, the locks would be those of
/// another store.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    let refused = |why: String| StoreError::Folder { path: path.to_owned(), why };
    let name = path.file_name().ok_or_else(|| refused("it names no file".to_owned()))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder
        .canonicalize()
        .map_err(|why| refused(format!("its folder {}: {why}", folder.display())))?;
    if !folder.is_dir() {
        return Err(refused(format!("{} is no folder", folder.display())));
    }
    Ok(folder.join(name))
}

/// Creates an empty file that only its owner may read: it will contain addresses and card tokens.
/// Does not open a file that exists: closing it would release the locks of another store of this
/// process.
fn make(path: &Path, place: &str) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Err(StoreError::Full { place: place.to_owned(), why: error.to_string() })
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Folder { path: path.to_owned(), why: error.to_string() }),
    }
}

fn configure(db: &Connection, place: &str) -> Result<(), Fault> {
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // WAL: a commit is one flush of one file. FULL: the flush ends before the commit returns.
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        let why = format!("its file system takes no write-ahead log (journal mode {mode})");
        return Err(StoreError::Open { place: place.to_owned(), why }.into());
    }
    db.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cache_size = -16384;",
    )?;
    Ok(())
}

/// Checks every page: a fault that is found only when a payment reads the page is found too late.
fn inspect(db: &Connection, place: &str) -> Result<(), Fault> {
    let found: String = db.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { place: place.to_owned(), why: found }.into())
}

/// Updates the schema in one transaction, so that two processes that start at the same time do it
/// one after the other.
fn enter(db: &Connection, path: &Path, place: &str) -> Result<(Presence, StoreId), Fault> {
    db.execute_batch(BEGIN)?;
    migrate(db, place)?;
    let identity = identity(db, place)?;
    // Finds tables and columns that are missing.
    for text in WRITES {
        db.prepare_cached(text)?;
    }
    let presence = Presence::enter(db, path)?;
    presence.sweep(db)?;
    db.execute_batch(COMMIT)?;
    Ok((presence, identity))
}

/// Reads the identity of a store, of which there is exactly one.
fn identity(db: &Connection, place: &str) -> Result<StoreId, Fault> {
    let mut statement = db.prepare(IDENTITY)?;
    let found: Vec<String> =
        statement.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    match found.as_slice() {
        [identity] => Ok(StoreId::new(identity)),
        others => {
            let why = format!("it has {} identities instead of one", others.len());
            Err(StoreError::Damaged { place: place.to_owned(), why }.into())
        }
    }
}

/// Returns the version of the schema; 0 for an empty file.
fn schema(db: &Connection, place: &str) -> Result<i64, Fault> {
    let (tables, ours): (i64, i64) =
        db.query_row(TABLES, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = match (tables, ours) {
        (0, _) => 0,
        (_, 0) => return Err(StoreError::Foreign { place: place.to_owned() }.into()),
        _ => db.query_row(SCHEMA, (), |row| row.get(0))?,
    };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { place: place.to_owned(), found, known }.into());
    }
    Ok(found)
}

fn migrate(db: &Connection, place: &str) -> Result<(), Fault> {
    let found = schema(db, place)?;
    if found == 0 {
        db.execute_batch(MAKE_MIGRATIONS)?;
    }
    for (version, text) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        db.execute_batch(text)?;
        db.execute(MIGRATED, [version])?;
    }
    Ok(())
}
