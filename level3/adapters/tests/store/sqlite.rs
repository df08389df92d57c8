//! What only the store in a file does, and what it says when it cannot.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "mounts a small disk")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use level3_adapters::sql::{self, ReceiptClaim, ReceiptClaims as _, Store as _, StoreError};
use level3_adapters::sqlite::{SqliteOptions, SqliteReader, SqliteStore};
use level3_domain::journal::{Claimed, Journal as _, JournalError, Opened, StoreId};
use level3_domain::provider::{Ledger as _, ProviderError};
use rusqlite::Connection;
use tokio::time::sleep;

use crate::audit::whole;
use crate::backend::{SHORT, leased};
use crate::contract::{begun, id, payment, row, started};
use crate::payments::Place;

async fn refused(path: impl AsRef<Path>) -> StoreError {
    let error = SqliteStore::open(&path).await.expect_err("it cannot be opened");
    let text = error.to_string();
    let name = path.as_ref().file_name().unwrap_or_default().to_string_lossy().into_owned();
    // What, where, and what to do.
    assert!(text.contains(&name) && text.len() > 60, "{text}");
    error
}

#[tokio::test]
async fn a_path_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = refused(folder.path().join("missing/store.db")).await;
    assert!(matches!(missing, StoreError::Folder { .. }), "{missing:?}");
    let is_a_folder = refused(folder.path()).await;
    assert!(matches!(is_a_folder, StoreError::Open { .. }), "{is_a_folder:?}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let under_a_file = refused(file.join("store.db")).await;
    assert!(matches!(under_a_file, StoreError::Folder { .. }), "{under_a_file:?}");
    // A folder in which no user can make files, not even root.
    #[cfg(target_os = "linux")]
    {
        let unwritable = refused("/proc/store.db").await;
        assert!(matches!(unwritable, StoreError::Folder { .. }), "{unwritable:?}");
    }
}

#[tokio::test]
async fn what_is_something_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("letter.txt");
    fs::write(&text, "Dear Sir or Madam, ".repeat(500)).unwrap();
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE cats (name)").unwrap();
    let newer = folder.path().join("newer.db");
    SqliteStore::open(&newer).await.unwrap().close().await;
    let db = Connection::open(&newer).unwrap();
    db.execute("INSERT INTO level3_migrations VALUES (99, 0)", ()).unwrap();
    drop(db);

    for (path, named) in [(&text, "database"), (&foreign, "another program"), (&newer, "99")] {
        let before = fs::read(path).unwrap();
        let error = refused(path).await;
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(fs::read(path).unwrap(), before, "{error}");
    }
    assert!(matches!(refused(&text).await, StoreError::NotADatabase { .. }));
    assert!(matches!(refused(&foreign).await, StoreError::Foreign { .. }));
    let error = refused(&newer).await;
    assert!(matches!(error, StoreError::NewerSchema { found: 99, known: 9, .. }), "{error:?}");
}

#[tokio::test]
async fn an_identity_belongs_to_one_store_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));
    let identity = async |path: &Path| {
        let store = SqliteStore::open(path).await.unwrap();
        let identity = store.store_id();
        store.close().await;
        identity
    };
    let first = identity(&one).await;
    assert_eq!(first.as_str().len(), 32, "128 bits");
    assert_eq!(identity(&one).await, first, "the same after a restart");
    assert_ne!(identity(&two).await, first);
    fs::remove_file(&one).unwrap();
    assert_ne!(identity(&one).await, first, "a store that is made again is another one");
}

#[tokio::test]
async fn a_store_from_before_identities_keeps_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let _ = store.open(id("a"), begun("a")).await.unwrap();
    let receipt = store.save(row("a", 1)).await.unwrap().transaction;
    store.close().await;
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "DROP TABLE postings; DROP TABLE audit; DROP TABLE audit_head; DROP TABLE store; DROP TABLE refunds; DROP TABLE inbox; DROP TABLE disputes; DROP TABLE deliveries; DROP TABLE events; DROP INDEX sagas_labelled; ALTER TABLE sagas DROP COLUMN label;
         ALTER TABLE outbox DROP COLUMN sender; ALTER TABLE outbox DROP COLUMN claims;
         ALTER TABLE outbox DROP COLUMN in_doubt;
         DELETE FROM level3_migrations WHERE version > 1;",
    )
    .unwrap();
    drop(db);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.store_id(), StoreId::unnamed());
    // The older program claimed nothing: it may have sent the receipt.
    let claim = store.claim_receipt(receipt).await.unwrap();
    assert_eq!(claim, ReceiptClaim::Yours { in_doubt: true });
    // The row of before is not in the trail, and a later one is.
    let place = Place::File(path);
    assert_eq!(whole(&place).await.entries, 0);
    store.save(row("b", 1)).await.unwrap();
    assert_eq!(whole(&place).await.entries, 1);
    store.close().await;
}

#[tokio::test]
async fn its_file_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.save(row("a", 1)).await.unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
        let name = entry.file_name();
        assert!(mode == 0 || name.to_string_lossy().contains("-owner-"), "{name:?} {mode:o}");
    }
    store.close().await;
    // Nothing is left but the database.
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store.db"]);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    let clone = store.clone();
    store.close().await;
    assert_eq!(clone.read(id("a")).await, Err(JournalError::Unavailable));
    assert!(matches!(clone.counts().await, Err(StoreError::Closed { .. })));
}

/// Row, outbox and note: what fails at the second of them leaves nothing of the first.
#[tokio::test]
async fn a_row_is_written_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.open(payment("a").as_str().to_owned().into(), begun("a")).await.unwrap();
    let db = Connection::open(&path).unwrap();
    for table in ["outbox", "journal"] {
        db.execute_batch(&format!(
            "CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'no'); END"
        ))
        .unwrap();
        assert!(store.save(row("a", 1999)).await.is_err());
        assert!(store.last_error().is_some());
        db.execute_batch("DROP TRIGGER broken").unwrap();
        let shown = store.show(payment("a")).await.unwrap().unwrap();
        assert_eq!((shown.row, shown.receipt_pending, shown.entries.len()), (None, false, 1));
    }
    store.save(row("a", 1999)).await.unwrap();
    assert_eq!(store.show(payment("a")).await.unwrap().unwrap().entries.len(), 2);
}

/// Every time that is written down is ten years wrong, one way and then the other.
#[tokio::test]
async fn a_wall_clock_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open_with(&path, leased(SHORT)).await.unwrap();
    let db = Connection::open(&path).unwrap();
    for (name, years) in [("a", 10_i64), ("b", -10)] {
        let opened = store.open(id(name), begun(name)).await.unwrap();
        let Opened::New(lease) = opened else { panic!("{opened:?}") };
        let shift = years * 365 * 24 * 3_600_000;
        db.execute("UPDATE journal SET at = at + ?1", [shift]).unwrap();
        let claimed = store.claim(id(name)).await.unwrap();
        let Claimed::Busy { remaining } = claimed else { panic!("{claimed:?}") };
        assert!(remaining <= SHORT);
        store.append(&lease, vec![started("x")]).await.unwrap();
        assert!(matches!(store.claim(id(name)).await.unwrap(), Claimed::Busy { .. }));
        sleep(SHORT + Duration::from_millis(5)).await;
        assert!(matches!(store.claim(id(name)).await.unwrap(), Claimed::Acquired(..)));
    }
}

/// What a process that was killed has left is cleared away by the next.
#[tokio::test]
async fn the_dead_are_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    let db = Connection::open(&path).unwrap();
    db.execute("INSERT INTO instances (id, opened_at) VALUES (77, 0)", ()).unwrap();
    let left = folder.path().join("store.db-owner-77");
    fs::write(&left, "").unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(!left.exists());
    let entered: i64 =
        db.query_row("SELECT count(*) FROM instances", (), |row| row.get(0)).unwrap();
    assert_eq!(entered, 1);
    drop(store);
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.save(row("a", 1)).await, Err(ProviderError::Unavailable));
    assert!(matches!(store.last_error(), Some(StoreError::Locked { .. })));
    db.execute_batch("ROLLBACK").unwrap();
    store.save(row("a", 1)).await.unwrap();
    assert_eq!(store.last_error(), None);
}

/// Saves until there is no room. What was acknowledged is there, what was not is not.
async fn fill(store: &SqliteStore, prefix: &str) -> usize {
    for number in 0..50_000 {
        let key = format!("{prefix}{number}");
        match store.save(row(&key, 1999)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, ProviderError::Unavailable);
                let last = store.last_error();
                assert!(matches!(last, Some(StoreError::Full { .. })), "{last:?}");
                // More than is left, whatever is left.
                let state = "one more".repeat(100_000);
                let open = store.open(id("one more"), begun(&state)).await;
                assert_eq!(open, Err(JournalError::Unavailable));
                return number;
            }
        }
    }
    panic!("there is always room");
}

#[tokio::test]
async fn a_full_file_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let options = SqliteOptions { max_pages: Some(64), ..SqliteOptions::default() };
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    let written = fill(&store, "a").await;
    assert!(written > 20, "{written}");
    // Reading goes on.
    assert_eq!(store.pending_receipts(usize::MAX).await.unwrap().len(), written);
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.rows(0, usize::MAX).await.unwrap().len(), written);
    store.save(row("after", 1)).await.unwrap();
}

/// A disk of two megabytes. Unmounted when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "level3-test"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: this user may not mount a small disk");
        }
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_room_is_found() {
    let Some(disk) = SmallDisk::new() else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![7; 512 * 1024]).unwrap();
    let path = disk.0.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let written = fill(&store, "a").await;
    assert!(written > 20, "{written}");
    assert_eq!(store.rows(0, usize::MAX).await.unwrap().len(), written);
    // With room again, the same store goes on.
    fs::remove_file(&ballast).unwrap();
    store.save(row("after", 1)).await.unwrap();
    assert_eq!(store.rows(0, usize::MAX).await.unwrap().len(), written + 1);
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.rows(0, usize::MAX).await.unwrap().len(), written + 1);
    store.close().await;
}

/// A user who may only read a file sees its contents, and changes nothing.
#[tokio::test]
async fn a_file_is_read_without_being_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a store?.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.save(row("a", 1999)).await.unwrap();
    let identity = store.store_id();
    // While it is written to, and when no process has it open any more.
    let shown = async |when: &str| {
        let reader = SqliteReader::open(&path).await.unwrap();
        assert_eq!(sql::Records::store_id(&reader), identity, "{when}");
        let shown = sql::Records::show(&reader, payment("a")).await.unwrap().unwrap();
        assert!(shown.row.is_some(), "{when}");
        assert_eq!(sql::Records::dead_letters(&reader, 10).await.unwrap(), [], "{when}");
    };
    shown("while it is open").await;
    store.close().await;
    let before = fs::read(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    shown("when it may not be written to").await;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(SqliteReader::open(folder.path().join("missing")).await.is_err());
    assert!(!folder.path().join("missing").exists());
}
