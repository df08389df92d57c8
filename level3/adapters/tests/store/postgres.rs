//! What only the store in PostgreSQL does: servers that are away, and come back.

use std::sync::Arc;
use std::time::Duration;

use level3_adapters::postgres::{PostgresOptions, PostgresStore};
use level3_adapters::sql::{Store, StoreError};
use level3_domain::journal::{Claimed, Journal as _, JournalError, Opened};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::{LONG, database};
use crate::contract::{begun, id, row, started};
use crate::payments::{PATIENCE, Place, Shop};
use crate::server::{Flush, Server};

async fn refused(url: &str) -> StoreError {
    let options =
        PostgresOptions { patience: Duration::from_secs(2), ..PostgresOptions::default() };
    let error = PostgresStore::connect_with(url, options).await.expect_err("no server is there");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(error.to_string().len() > 60, "{error}");
    error
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    for url in [
        "",
        "store.db",
        "mysql://root:hunter2@localhost/store",
        "postgres://",
        "postgres://user:hunter2@host:no-port/store",
        "postgres://user:hunter2@host/store?colour=blue",
        "postgres://user:hunter2@host/store?sslmode=required",
        "postgres://user:hunter2@host/store?sslmode=verify-ca",
        "postgres://user:hunter2@host/store?sslmode=require&sslrootcert=system",
    ] {
        let error = refused(url).await;
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    // Bound, so that no other program gets the port, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let error = refused(&format!("postgres://me:hunter2@127.0.0.1:{port}/store")).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let error = refused("postgres://me:hunter2@no-such-host.invalid/store").await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_of_something_else_is_left_alone() {
    let Some(url) = database() else { return };
    let none = url.replace("/test", "/none");
    let error = refused(&none).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    let nobody = url.replace("postgres@", "nobody:hunter2@");
    let error = refused(&nobody).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");

    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("CREATE TABLE payments (cats text)").await.unwrap();
    let error = refused(&url).await;
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    client.batch_execute("DROP TABLE payments").await.unwrap();
    let store = PostgresStore::connect(&url).await.unwrap();
    store.close().await;
    client.batch_execute("INSERT INTO level3_migrations VALUES (99)").await.unwrap();
    let error = refused(&url).await;
    assert!(matches!(error, StoreError::NewerSchema { found: 99, known: 9, .. }), "{error:?}");
    drop(client);
    connection.await.unwrap().unwrap();
}

/// Several that start on an empty database at the same time make its tables once.
#[tokio::test]
async fn many_may_start_at_once() {
    let Some(url) = database() else { return };
    let stores = futures::future::join_all((0..8).map(|_| PostgresStore::connect(&url))).await;
    for store in stores {
        store.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let Some(url) = database() else { return };
    let store = PostgresStore::connect(&url).await.unwrap();
    let clone = store.clone();
    store.close().await;
    assert_eq!(clone.read(id("a")).await, Err(JournalError::Unavailable));
    assert!(matches!(clone.counts().await, Err(StoreError::Closed { .. })));
}

/// While the server is away writes fail after the store's patience and say why; when it is back they
/// work, and the store's owner counts as alive again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_found_again() {
    let Some(mut server) = Server::start(Flush::Cache).unwrap() else { return };
    let url = server.database().unwrap();
    let patience = Duration::from_millis(500);
    let options = PostgresOptions { patience, lease: LONG, ..PostgresOptions::default() };
    let store: Arc<dyn Store> = Arc::new(PostgresStore::connect_with(&url, options).await.unwrap());
    let Opened::New(lease) = store.open(id("a"), begun("a")).await.unwrap() else { panic!("new") };

    tokio::task::block_in_place(|| server.kill()).unwrap();
    let begin = Instant::now();
    let saved = timeout(PATIENCE, store.save(row("a", 1999))).await.unwrap();
    assert!(saved.is_err(), "{saved:?}");
    assert_eq!(store.read(id("a")).await, Err(JournalError::Unavailable));
    let last = store.last_error().unwrap();
    assert!(matches!(last, StoreError::Unreachable { .. }), "{last:?}");

    tokio::task::block_in_place(|| server.restart()).unwrap();
    let saved = loop {
        match store.save(row("a", 1999)).await {
            Ok(saved) => break saved,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(begin.elapsed() < PATIENCE);
    };
    assert_eq!(store.save(row("a", 1999)).await, Ok(saved));
    store.append(&lease, vec![started("create")]).await.unwrap();
    assert_eq!(store.last_error(), None);
    // Until the connection that holds the lock is back too.
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    while client.query_one(locks, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begin.elapsed() < PATIENCE, "the lock is not taken again");
        sleep(Duration::from_millis(20)).await;
    }
    let other = Place::Url(url).open(LONG).await;
    let claimed = other.claim(id("a")).await.unwrap();
    assert!(matches!(claimed, Claimed::Busy { .. }), "{claimed:?}");
}

/// Killed and restarted again and again under payments: nothing that was acknowledged is lost, and the
/// books balance once what was left open is recovered.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_nothing() {
    let Some(mut server) = Server::start(Flush::Cache).unwrap() else { return };
    let place = Place::Url(server.database().unwrap());
    let shop = Arc::new(Shop::new());
    let store = place.open(Duration::from_secs(1)).await;
    let gateway = shop.gateway(&store);
    for pause in [30, 250, 700] {
        let load = {
            let (shop, gateway) = (Arc::clone(&shop), gateway.clone());
            tokio::spawn(async move { shop.pay(&gateway, 80).await })
        };
        sleep(Duration::from_millis(pause)).await;
        tokio::task::block_in_place(|| -> std::io::Result<()> {
            server.kill()?;
            server.restart()
        })
        .unwrap();
        timeout(PATIENCE, load).await.unwrap().unwrap();
    }
    // What was left to the recovery, since a write's outcome was unknown or late.
    assert_eq!(gateway.drain(PATIENCE).await, 0);
    let heir = place.open(Duration::from_secs(1)).await;
    let gateway = shop.gateway(&heir);
    drop(store);
    let recovered = timeout(PATIENCE, gateway.recover()).await.unwrap();
    println!("{recovered:?}");
    recovered.unwrap();
    assert_eq!(gateway.drain(PATIENCE).await, 0);
    // However little was paid while the server came and went: now it is there.
    timeout(PATIENCE, shop.pay(&gateway, 80)).await.unwrap();
    assert_eq!(gateway.drain(PATIENCE).await, 0);
    shop.audit(&heir).await;
    let counts = heir.counts().await.unwrap();
    assert_eq!((counts.open, counts.parked), (0, 0), "{counts:?}");
    assert!(counts.completed > 0);
}

/// Another process is frozen in the middle of a transaction: its locks are not waited for without end.
#[tokio::test]
async fn a_frozen_process_holds_up_nobody() {
    let Some(url) = database() else { return };
    let store = PostgresStore::connect(&url).await.unwrap();
    let frozen = PostgresStore::connect(&url).await.unwrap();
    // A connection that is set up as those of a store are, and stops after its first statement.
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let held = "SET idle_in_transaction_session_timeout = '2s';
                BEGIN; LOCK TABLE sagas IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(held).await.unwrap();
    let opened = timeout(PATIENCE, store.open(id("a"), begun("a"))).await.unwrap();
    assert!(matches!(opened, Ok(Opened::New(_))), "{opened:?}: {:?}", store.last_error());
    frozen.close().await;
    store.close().await;
}

/// A lock of another program that is never released fails the write, with the reason.
#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_told() {
    let Some(url) = database() else { return };
    let store = PostgresStore::connect(&url).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE sagas IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let opened = timeout(PATIENCE, store.open(id("a"), begun("a"))).await.unwrap();
    assert_eq!(opened, Err(JournalError::Unavailable));
    assert!(matches!(store.last_error(), Some(StoreError::Locked { .. })));
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(matches!(store.open(id("a"), begun("a")).await, Ok(Opened::New(_))));
    store.close().await;
}

/// During a fail-over the server takes no writes for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_for_a_while_is_waited_for() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    let url = server.database().unwrap();
    let store = PostgresStore::connect(&url).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let read_only = async |on: &str| {
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
        client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        client.batch_execute(&set).await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    };
    read_only("on").await;
    sleep(Duration::from_millis(300)).await;
    let (opened, ()) = tokio::join!(store.open(id("a"), begun("a")), async {
        sleep(Duration::from_millis(1500)).await;
        read_only("off").await;
    });
    assert!(matches!(opened, Ok(Opened::New(_))), "{opened:?}: {:?}", store.last_error());
    store.close().await;
}
