//! A file that is deleted, replaced, damaged or incomplete: nothing is acknowledged after that.

use std::fs;
use std::path::Path;

use level3_adapters::sql::{Store as _, StoreError};
use level3_adapters::sqlite::SqliteStore;
use level3_domain::journal::{Journal as _, JournalError, Opened};
use level3_domain::provider::Ledger as _;
use rusqlite::Connection;

use crate::contract::{begun, id, row, started};

/// A file that is deleted or replaced takes its writes with it: none is acknowledged after that.
#[tokio::test]
async fn a_file_that_is_gone_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for replaced in [false, true] {
        let path = folder.path().join(format!("store-{replaced}.db"));
        let store = SqliteStore::open(&path).await.unwrap();
        let Opened::New(lease) = store.open(id("a"), begun("a")).await.unwrap() else {
            panic!("new")
        };
        fs::remove_file(&path).unwrap();
        if replaced {
            fs::write(&path, "").unwrap();
        }
        let appended = store.append(&lease, vec![started("create")]).await;
        assert_eq!(appended, Err(JournalError::Unavailable), "replaced: {replaced}");
        assert!(store.save(row("a", 1999)).await.is_err());
        let error = store.last_error().unwrap();
        assert!(matches!(error, StoreError::Gone { .. }), "{error:?}");
    }
}

/// Saves so many rows.
async fn save(store: &SqliteStore, prefix: &str, rows: usize) {
    for number in 0..rows {
        store.save(row(&format!("{prefix}{number}"), 1999)).await.unwrap();
    }
}

/// Overwrites a file, which stays the same file for the operating system.
fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_file_with_other_contents_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let other = SqliteStore::open(file("other")).await.unwrap();
    save(&other, "b", 50).await;
    other.close().await;
    for damage in ["another store", "a backup", "cut", "emptied", "header"] {
        let path = file(damage);
        let store = SqliteStore::open(&path).await.unwrap();
        save(&store, "a", 20).await;
        store.close().await;
        let backup = fs::read(&path).unwrap();
        // The second opening moves what the first has written into the file.
        let store = SqliteStore::open(&path).await.unwrap();
        save(&store, "c", 200).await;
        store.close().await;
        let store = SqliteStore::open(&path).await.unwrap();
        save(&store, "d", 1).await;
        match damage {
            "another store" => drop(fs::copy(file("other"), &path).unwrap()),
            "a backup" => overwrite(&path, |bytes| *bytes = backup),
            "cut" => overwrite(&path, |bytes| bytes.truncate(8192)),
            "emptied" => overwrite(&path, Vec::clear),
            _ => overwrite(&path, |bytes| bytes[..100].fill(7)),
        }
        let saved = store.save(row("late", 1)).await;
        assert!(saved.is_err(), "{damage}: {saved:?}");
        let lost = store.lost().await;
        assert!(lost.is_final(), "{damage}: {lost:?}");
        // It stays that way, whatever the file has later.
        assert!(store.save(row("later", 1)).await.is_err(), "{damage}");
        assert_eq!(store.counts().await, Err(lost), "{damage}");
    }
}

#[tokio::test]
async fn a_table_that_is_deleted_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    save(&store, "a", 2).await;
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE outbox").unwrap();
    assert!(store.save(row("late", 1)).await.is_err());
    let lost = store.lost().await;
    assert!(matches!(lost, StoreError::Gone { .. }), "{lost:?}");
}

/// What other processes may do with a file, and with a log that moves into it, is no damage.
#[tokio::test]
async fn a_file_that_is_tidied_stays_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (store, other) =
        (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    save(&store, "a", 100).await;
    let db = Connection::open(&path).unwrap();
    for (number, tidying) in
        ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "ANALYZE", "VACUUM"].into_iter().enumerate()
    {
        // Makes room for the next VACUUM to take.
        db.execute("DELETE FROM outbox WHERE payment % 2 = 0", ()).unwrap();
        db.execute_batch(tidying).unwrap();
        save(&store, &format!("b{number}-"), 20).await;
        save(&other, &format!("c{number}-"), 20).await;
    }
    assert_eq!(store.rows(0, 1000).await.unwrap().len(), 260);
    other.close().await;
    store.close().await;
}

/// What is missing is found at the start, and not by a payment.
#[tokio::test]
async fn an_incomplete_store_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    for (number, damage) in [
        "DROP TABLE outbox",
        "DROP TABLE store",
        "ALTER TABLE payments DROP COLUMN voided_at",
        "DELETE FROM store",
        "INSERT INTO store VALUES ('another')",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("store-{number}"));
        SqliteStore::open(&path).await.unwrap().close().await;
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        db.execute_batch(damage).unwrap();
        drop(db);
        let error = SqliteStore::open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{damage}: {error:?}");
    }
}

/// A page that is damaged is found at the start, and not when a payment meets it.
#[tokio::test]
async fn a_damaged_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for number in 0..200 {
        let name = format!("payment-{number}");
        let _ = store.open(id(&name), begun(&name)).await.unwrap();
    }
    store.close().await;
    let whole = fs::read(&path).unwrap();
    let pages = whole.len() / 4096;
    let mut found = 0;
    // The heads of all pages but the first, which has the file's own.
    for page in 1..pages {
        let mut damaged = whole.clone();
        damaged[page * 4096..page * 4096 + 64].fill(0xa5);
        fs::write(&path, damaged).unwrap();
        match SqliteStore::open(&path).await {
            Err(StoreError::Damaged { .. }) => found += 1,
            Err(error) => panic!("page {page}: {error:?}"),
            Ok(store) => store.close().await,
        }
    }
    assert_eq!(found, pages - 1, "of {pages} pages");
}
