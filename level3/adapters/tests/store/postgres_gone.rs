//! A database that is deleted, replaced or incomplete: nothing is acknowledged after that.

use std::time::Duration;

use level3_adapters::postgres::{PostgresOptions, PostgresStore};
use level3_adapters::sql::{Store as _, StoreError};
use level3_domain::journal::Journal as _;
use level3_domain::provider::Ledger as _;
use tokio_postgres::{Client, NoTls};

use crate::backend::database;
use crate::contract::row;

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn store(url: &str) -> PostgresStore {
    let options =
        PostgresOptions { patience: Duration::from_secs(2), ..PostgresOptions::default() };
    PostgresStore::connect_with(url, options).await.unwrap()
}

/// Saves until the store fails, and checks the reason. A connection that was cut fails first.
async fn is_gone(store: &PostgresStore) {
    for number in 0..5 {
        let saved = store.save(row(&format!("late-{number}"), 1)).await;
        assert!(saved.is_err(), "{saved:?}");
        match store.last_error() {
            Some(StoreError::Gone { .. }) => return,
            Some(StoreError::Lost { .. } | StoreError::Unreachable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("{:?}", store.last_error());
}

const DELETE: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
const CUT: &str = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn deleted_tables_acknowledge_nothing() {
    let Some(url) = database() else { return };
    let store = store(&url).await;
    store.save(row("a", 1999)).await.unwrap();
    client(&url).await.batch_execute(DELETE).await.unwrap();
    is_gone(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_database_acknowledges_nothing() {
    let Some(url) = database() else { return };
    let store = store(&url).await;
    store.save(row("a", 1999)).await.unwrap();
    let (server, name) = url.rsplit_once('/').unwrap();
    let admin = client(&format!("{server}/postgres")).await;
    admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    is_gone(&store).await;
}

/// Another store has the same tables. The connections of the old one stay open, or are made again.
#[tokio::test(flavor = "multi_thread")]
async fn another_store_in_the_same_place_gets_nothing() {
    for cut in [false, true] {
        let Some(url) = database() else { return };
        let old = store(&url).await;
        old.save(row("a", 1999)).await.unwrap();
        let client = client(&url).await;
        client.batch_execute(DELETE).await.unwrap();
        let new = store(&url).await;
        assert_ne!(new.store_id(), old.store_id());
        if cut {
            client.query(CUT, &[]).await.unwrap();
        }
        is_gone(&old).await;
        let written = async || new.rows(0, 10).await.map(|rows| rows.len());
        // Its own connections were cut too.
        let found = match written().await {
            Err(_) => written().await,
            found => found,
        };
        assert_eq!(found, Ok(0), "cut: {cut}");
    }
}

/// A backup from before this process was started has not given it its number.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_state_acknowledges_nothing() {
    let Some(url) = database() else { return };
    store(&url).await.close().await;
    let late = store(&url).await;
    late.save(row("a", 1999)).await.unwrap();
    let client = client(&url).await;
    client.batch_execute("SELECT setval('instances', 1)").await.unwrap();
    client.query(CUT, &[]).await.unwrap();
    is_gone(&late).await;
}

/// What is missing is found at the start, and not by a payment.
#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_store_is_not_opened() {
    for damage in [
        "DROP TABLE outbox",
        "DROP TABLE store",
        "ALTER TABLE payments DROP COLUMN email",
        "DROP SEQUENCE instances",
        "DELETE FROM store",
        "INSERT INTO store VALUES ('another')",
    ] {
        let Some(url) = database() else { return };
        store(&url).await.close().await;
        client(&url).await.batch_execute(damage).await.unwrap();
        let error = PostgresStore::connect(&url).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{damage}: {error:?}");
    }
}
