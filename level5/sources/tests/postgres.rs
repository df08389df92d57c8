//! A table in a PostgreSQL server that the tests start where it is installed. Real sockets, on real time.
#![cfg(unix)]

#[path = "../../../level3/adapters/tests/support/postgres.rs"]
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use level5::conflict::{SourceId, Standing};
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{
    Config, Engine, Incoming, MemoryStore, Read, RecordId, Source as _, SourceMeta,
};
use level5::wall_clock::SystemWall;
use level5_sources::{PostgresError, PostgresSource, Table};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use server::{Flush, Server};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of one test; none where there is no PostgreSQL.
fn start() -> Option<Server> {
    Server::start(Flush::Cache).expect("the server")
}

/// A database of the test's own, on a server that the tests share. It ends with the process.
fn database() -> Option<String> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    Some(SHARED.get_or_init(start).as_ref()?.database().expect("a database"))
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

fn source(url: &str) -> PostgresSource {
    // The schema and the names have everything that has to be quoted.
    let table = Table::new("my \"shop\"", "it's \\ Items", "Key").expect("names");
    let url = format!("{url}?sslmode=disable");
    PostgresSource::new(SourceId::new("postgres"), &url, table).expect("a URL")
}

const ITEMS: &str = r#""my ""shop"""."it's \ Items""#;

/// Runs a statement about the table, which it calls `items`.
async fn run(client: &Client, statement: &str) {
    client.batch_execute(&statement.replace("items", ITEMS)).await.expect(statement);
}

async fn table(client: &Client, key: &str) {
    run(client, r#"create schema "my ""shop""""#).await;
    run(
        client,
        &format!(r#"create table items ("Key" {key} primary key, name text, item numeric)"#),
    )
    .await;
}

/// Each record as `id name`, sorted.
fn shown(incoming: &[Incoming]) -> Vec<String> {
    let show = |record: &Incoming| {
        let name = record.content.as_ref().map(|fields| fields["name"].to_string());
        format!("{} {}", record.id, name.as_deref().unwrap_or("-").trim_matches('"'))
    };
    let mut shown: Vec<_> = incoming.iter().map(show).collect();
    shown.sort();
    shown
}

/// Reads a source as an engine does: a record that comes again with a known stamp is no news. The server's own
/// transactions decide which ones come again.
struct Reader {
    source: PostgresSource,
    seen: BTreeMap<RecordId, (jiff::Timestamp, u64)>,
}

impl Reader {
    fn new(source: PostgresSource) -> Self {
        Self { source, seen: BTreeMap::new() }
    }

    async fn news(&mut self) -> Vec<Incoming> {
        let mut news = self.source.fetch_all().await.expect("an answer");
        news.retain(|record| {
            let stamp = (record.at, record.version);
            let seen = self.seen.insert(record.id.clone(), stamp);
            assert!(seen.is_none_or(|seen| seen <= stamp), "{record:?} is older than {seen:?}");
            seen != Some(stamp)
        });
        news
    }

    async fn poll(&mut self) -> Vec<String> {
        shown(&self.news().await)
    }
}

fn stamp(incoming: &[Incoming], id: &str) -> (jiff::Timestamp, u64) {
    let record = incoming.iter().find(|record| record.id.as_str() == id).expect("the record");
    (record.at, record.version)
}

#[tokio::test]
async fn rows_are_records_and_a_poll_has_what_has_changed() {
    let Some(url) = database() else { return };
    let client = connect(&url).await;
    table(&client, "bigint").await;
    run(&client, "insert into items values (1, 'Ann', 0.5), (2, 'Bob', null)").await;
    let source = source(&url);
    let error = source.fetch_all().await.expect_err("no log").to_string();
    assert!(error.contains("prepare"), "{error}");
    for _ in 0..2 {
        source.prepare().await.expect("a log");
    }
    let none = Table::new("public", "none", "id").expect("names");
    let none = PostgresSource::new(SourceId::new("none"), &format!("{url}?sslmode=disable"), none);
    let refused = none.expect("a URL").prepare().await;
    assert!(
        matches!(&refused, Err(PostgresError::Refused { why, .. }) if why.contains("none")),
        "{refused:?}"
    );
    let mut reader = Reader::new(source);
    let first = reader.news().await;
    assert_eq!(shown(&first), ["1 Ann", "2 Bob"]);
    let ann = first.iter().find(|record| record.id.as_str() == "1").expect("Ann");
    let content = serde_json::to_value(&ann.content).expect("JSON");
    assert_eq!(content, serde_json::json!({"name": "Ann", "item": 0.5}), "without the key");
    assert!(reader.poll().await.is_empty());
    run(&client, "update items set name = 'Anna' where \"Key\" = 1").await;
    let news = reader.news().await;
    assert_eq!(shown(&news), ["1 Anna"]);
    assert!(stamp(&news, "1") > stamp(&first, "1"));
    run(&client, "delete from items where \"Key\" = 2; insert into items values (3, 'Cy', 1)")
        .await;
    let news = reader.news().await;
    assert_eq!(shown(&news), ["2 -", "3 Cy"]);
    run(&client, "update items set \"Key\" = 4 where \"Key\" = 3").await;
    run(&client, "insert into items values (2, 'Bea', 1)").await;
    let ids = ["2", "3", "4", "none", "1"].map(RecordId::new);
    let some = reader.source.fetch(&ids).await.expect("an answer");
    assert_eq!(shown(&some), ["1 Anna", "2 Bea", "3 -", "4 Cy"]);
    assert!(stamp(&some, "2") > stamp(&news, "2"), "it is back");
    assert_eq!(reader.poll().await, ["2 Bea", "3 -", "4 Cy"], "a fetch takes nothing from a poll");
    run(&client, "truncate items").await;
    assert_eq!(reader.poll().await, ["1 -", "2 -", "4 -"]);
    // A process that did not run meanwhile.
    assert_eq!(Reader::new(self::source(&url)).poll().await, ["1 -", "2 -", "3 -", "4 -"]);
}

#[tokio::test]
async fn a_change_that_is_committed_late_is_not_skipped() {
    let Some(url) = database() else { return };
    let (early, late) = (connect(&url).await, connect(&url).await);
    table(&early, "text").await;
    let source = source(&url);
    source.prepare().await.expect("a log");
    run(&late, "begin; insert into items values ('late', 'x', 1)").await;
    run(&early, "insert into items values ('early', 'x', 1)").await;
    // The greater logical time is visible first.
    let mut reader = Reader::new(source);
    let first = reader.news().await;
    assert_eq!(shown(&first), ["early x"]);
    run(&late, "commit").await;
    let second = reader.news().await;
    assert_eq!(shown(&second), ["late x"]);
    assert!(stamp(&second, "late").1 < stamp(&first, "early").1);
    // A transaction that is rolled back was never there.
    run(&late, "begin; delete from items; rollback").await;
    assert!(reader.poll().await.is_empty());
}

#[tokio::test]
async fn a_write_that_has_waited_for_another_one_is_newer() {
    let Some(url) = database() else { return };
    let (one, other) = (connect(&url).await, Arc::new(connect(&url).await));
    table(&one, "text").await;
    let source = source(&url);
    source.prepare().await.expect("a log");
    run(&one, "insert into items values ('a', 'first', 1)").await;
    // `other` is the older transaction, and writes later.
    run(&other, "begin; select pg_current_xact_id()").await;
    run(&one, "begin; update items set name = 'second'").await;
    let waits = tokio::spawn({
        let other = Arc::clone(&other);
        async move { run(&other, "update items set name = 'third'; commit").await }
    });
    let waiting = async {
        let observer = connect(&url).await;
        let lock = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        while observer.query(lock, &[]).await.expect("rows").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("in time");
    let noted = LOG.replace("{}", &ITEMS.replace("Items", "Items_sync"));
    let row = one.query_one(&noted, &[]).await.expect("its own write");
    let (at, second): (i64, i64) = (row.get(0), row.get(1));
    run(&one, "commit").await;
    waits.await.expect("it ends");
    let third = source.fetch_all().await.expect("an answer");
    assert_eq!(shown(&third), ["a third"]);
    let second = u64::try_from(second).expect("a number");
    assert!(
        third[0].version > second && third[0].at.as_microsecond() >= at,
        "{third:?} after {second}"
    );
}

const LOG: &str = "select (extract(epoch from at) * 1000000)::bigint, logical_time from {}";

#[tokio::test]
async fn an_engine_follows_a_table_through_the_end_of_its_server() {
    let Some(mut server) = start() else { return };
    let url = server.database().expect("a database");
    let client = connect(&url).await;
    table(&client, "text").await;
    run(&client, "insert into items values ('a', 'Ann', 1), ('b', 'Bob', 1)").await;
    let source = source(&url);
    source.prepare().await.expect("a log");
    let engine =
        Engine::start(Config::default(), MemoryStore::new(), SystemWall).await.expect("starts");
    let every = Duration::from_millis(50);
    let meta = SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every };
    engine.add_source(source, meta).expect("a source");
    let mut metrics = engine.metrics();
    let polled = metrics.wait_for(|figures| figures.records == 2);
    timeout(PATIENCE, polled).await.expect("in time").expect("it runs");
    server.kill().expect("it runs");
    let failed = metrics
        .wait_for(|figures| figures.sources.values().all(|source| source.failed_in_a_row > 0));
    timeout(PATIENCE, failed).await.expect("in time").expect("it runs");
    let (a, b) = ("a".into(), "b".into());
    assert!(matches!(engine.get(&a, Some(Duration::ZERO)).await, Read::Stale { .. }));
    server.restart().expect("it starts");
    let client = connect(&url).await;
    let mut changes = engine.changes();
    run(&client, "delete from items where name = 'Ann'").await;
    let change = timeout(PATIENCE, changes.recv()).await.expect("in time").expect("a change");
    assert_eq!((change.id, change.record.content), (a.clone(), None));
    assert_eq!(engine.get(&a, Some(Duration::ZERO)).await, Read::Missing);
    // A record that polls leave out is confirmed when a reader asks for it.
    assert!(matches!(engine.get(&b, Some(Duration::ZERO)).await, Read::Fresh(_)));
    engine.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_poll_that_is_dropped_leaves_no_connection_behind() {
    let Some(url) = database() else { return };
    let client = connect(&url).await;
    table(&client, "text").await;
    let source = source(&url);
    source.prepare().await.expect("a log");
    run(&client, "insert into items values ('a', 'Ann', 1)").await;
    run(&client, "begin; lock table items in access exclusive mode").await;
    for _ in 0..3 {
        let polled = timeout(Duration::from_millis(100), source.fetch_all()).await;
        assert!(polled.is_err(), "the table is locked");
    }
    run(&client, "commit").await;
    assert_eq!(shown(&source.fetch_all().await.expect("an answer")), ["a Ann"]);
}

#[tokio::test]
async fn problems_name_the_place_and_no_password() {
    let table = || Table::new("public", "items", "id").expect("names");
    let make = |url: &str| PostgresSource::new(SourceId::new("x"), url, table());
    assert!(matches!(make("mysql://x"), Err(PostgresError::Url(_))));
    assert!(matches!(make("postgres://a/b?sslmode=what"), Err(PostgresError::Url(_))));
    for name in ["", &"x".repeat(49)] {
        assert!(matches!(Table::new("public", name, "id"), Err(PostgresError::Name(_))));
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let source = make(&format!("postgres://me:secret@127.0.0.1:{port}/shop?sslmode=disable"))
        .expect("a URL");
    let SourceError(error) = source.fetch_all().await.expect_err("refused");
    assert!(error.starts_with("127.0.0.1/shop: "), "{error}");
    assert!(!format!("{error}{source:?}").contains("secret"));
}

#[tokio::test]
async fn a_server_has_to_prove_who_it_is() {
    let authority = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).expect("a certificate");
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let signed = params.signed_by(&key, &issuer).expect("a certificate");
    let files = [
        ("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n"),
        ("postgresql.auto.conf", "ssl = on\n"),
        ("server.crt", &signed.pem()),
        ("server.key", &key.serialize_pem()),
    ];
    let Some(server) = Server::start_with(Flush::Cache, &files).expect("the server") else {
        return;
    };
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider);
    let tls = tls.with_safe_default_protocol_versions().expect("versions");
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let url = server.url("postgres");
    let make = |url: &str| {
        let table = Table::new("public", "items", "id").expect("names");
        PostgresSource::new(SourceId::new("tls"), url, table).expect("a URL")
    };
    let answer = async |source: PostgresSource| source.fetch_all().await.expect_err("no table").0;
    let by_name = url.replace("127.0.0.1", "localhost");
    let ours = answer(make(&by_name).with_tls(tls.clone())).await;
    assert!(ours.contains("prepare"), "it is connected: {ours}");
    for (other, source) in [
        ("an authority that the machine does not know", make(&by_name)),
        ("another name", make(&url).with_tls(tls)),
        ("no TLS", make(&format!("{url}?sslmode=disable"))),
    ] {
        let refused = answer(source).await;
        assert!(!refused.contains("prepare"), "{other}: {refused}");
    }
}
