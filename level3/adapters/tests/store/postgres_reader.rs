//! A database that is only read.

use std::time::Duration;

use level3_adapters::postgres::{PostgresAddress, PostgresReader, PostgresStore};
use level3_adapters::sql::{Records as _, StoreError};
use level3_domain::journal::Journal;
use level3_domain::provider::Ledger as _;
use tokio_postgres::NoTls;

use crate::backend::database;
use crate::contract::{payment, row};
use crate::payments::PATIENCE;

async fn reader(url: &str) -> Result<PostgresReader, StoreError> {
    PostgresReader::connect(PostgresAddress::new(url)?, PATIENCE).await
}

/// An account that may read the tables, and nothing else, sees them and changes nothing.
#[tokio::test]
async fn an_account_that_may_only_read_sees_everything() {
    let Some(url) = database() else { return };
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let error = reader(&url).await.unwrap_err();
    assert!(matches!(error, StoreError::Empty { .. }), "{error:?}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let made: i64 = client.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(made, 0, "a reader makes no tables");

    let store = PostgresStore::connect(&url).await.unwrap();
    store.save(row("a", 1999)).await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    let make = format!(
        "CREATE ROLE \"reader_{name}\" LOGIN;
         ALTER ROLE \"reader_{name}\" SET default_transaction_read_only = on;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"reader_{name}\""
    );
    client.batch_execute(&make).await.unwrap();
    let asked = url.replace("postgres@", &format!("reader_{name}@"));
    let reading = reader(&asked).await.unwrap();
    assert_eq!(reading.store_id(), Journal::store_id(&store));
    assert!(reading.show(payment("a")).await.unwrap().unwrap().row.is_some());
    assert_eq!(reading.show(payment("b")).await.unwrap(), None);
    assert_eq!(reading.dead_letters(10).await.unwrap(), []);
    // It reads what was written since.
    store.save(row("b", 1999)).await.unwrap();
    assert!(reading.show(payment("b")).await.unwrap().is_some());
    // The same account cannot open the store.
    let error = PostgresStore::connect(&asked).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. } | StoreError::Standby { .. }), "{error:?}");
    store.close().await;
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_without_end() {
    let Some(url) = database() else { return };
    let store = PostgresStore::connect(&url).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let address = PostgresAddress::new(&url).unwrap();
    let reading = PostgresReader::connect(address, Duration::from_millis(500)).await.unwrap();
    client.batch_execute("BEGIN; LOCK TABLE payments IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = reading.show(payment("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
    store.close().await;
}
