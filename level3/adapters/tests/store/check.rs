//! The full check of a store, on a file and on a server.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use level3_adapters::postgres::{PostgresAddress, PostgresReader};
use level3_adapters::sql::{Checked, StoreError};
use level3_adapters::sqlite::{SqliteReader, SqliteStore};
use level3_domain::provider::Ledger as _;
use rusqlite::Connection;
use tokio_postgres::NoTls;

use crate::backend::{LONG, database};
use crate::contract::row;
use crate::payments::{PATIENCE, Place, Shop};

/// Makes payments, some of which fail, and checks what they leave.
async fn after_payments(place: &Place) -> Checked {
    let (shop, store) = (Arc::new(Shop::new()), place.open(LONG).await);
    let gateway = shop.gateway(&store);
    shop.pay(&gateway, 60).await;
    // While the store is open, and payments may be under way.
    let checked = check(place).await.unwrap();
    assert_eq!(checked.faults, [], "while it is in use");
    gateway.drain(PATIENCE).await;
    drop((gateway, store));
    check(place).await.unwrap()
}

pub async fn check(place: &Place) -> Result<Checked, StoreError> {
    match place {
        Place::File(path) => SqliteReader::open(path).await?.check().await,
        Place::Url(url) => {
            let address = PostgresAddress::new(url)?;
            PostgresReader::connect(address, PATIENCE).await?.check().await
        }
    }
}

/// Changes of another program, and words of what is found then.
const DAMAGE: [(&str, &str); 6] = [
    (
        "DELETE FROM journal WHERE seq = 2 AND saga = (SELECT min(saga) FROM journal WHERE seq = 4)",
        "entry 2 is missing",
    ),
    (
        "UPDATE journal SET body = '[{\"record\":\"secret\"}]'
      WHERE seq = 2 AND saga = (SELECT min(saga) FROM journal WHERE seq = 4)",
        "entry 2",
    ),
    (
        "UPDATE sagas SET standing = 'parked'
      WHERE number = (SELECT min(number) FROM sagas WHERE standing = 'ended')",
        "it is parked",
    ),
    (
        "UPDATE sagas SET name = 'pay_00000000000000000000000000000000_1'
      WHERE number = (SELECT min(number) FROM sagas WHERE standing = 'ended')",
        "another store",
    ),
    (
        "UPDATE payments SET currency = 'XXX'
      WHERE number = (SELECT min(number) FROM payments WHERE status = 'completed')",
        "currency",
    ),
    (
        "UPDATE payments SET transaction_id = 'txn_1'
      WHERE number = (SELECT min(number) FROM payments)",
        "the name of another",
    ),
];

fn has(checked: &Checked, words: &str, after: &str) {
    let found = checked.faults.iter().any(|fault| fault.what.contains(words));
    assert!(found && !checked.is_fine(), "{after}: {:?}", checked.faults);
    assert!(!format!("{checked:?}").contains("secret"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let place = Place::File(path.clone());
    let checked = after_payments(&place).await;
    assert_eq!((&checked.faults[..], &checked.unchecked[..]), (&[][..], &[][..]));
    assert!(checked.sagas == 60 && checked.rows > 0 && checked.entries > 300, "{checked:?}");

    // A copy of its own for each: what was in use may have a log beside it.
    let copy = |number: usize| {
        let copy = folder.path().join(format!("copy-{number}"));
        let db = Connection::open(&path).unwrap();
        db.execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
        copy
    };
    let references = (
        "DELETE FROM payments
         WHERE number = (SELECT min(number) FROM payments WHERE status = 'completed')",
        "the ledger does not have it",
    );
    let receipts = ("INSERT INTO outbox (payment) VALUES (9999)", "does not exist");
    for (number, (damage, words)) in DAMAGE.into_iter().chain([references, receipts]).enumerate() {
        let copy = copy(number);
        let place = Place::File(copy.clone());
        assert!(check(&place).await.unwrap().is_fine());
        let db = Connection::open(&copy).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert_eq!(db.execute(damage, ()).unwrap(), 1, "{damage}");
        drop(db);
        has(&check(&place).await.unwrap(), words, damage);
    }
}

/// A check finds each damaged page, and a page that it cannot read keeps it from nothing else.
#[tokio::test]
async fn a_damaged_page_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for number in 0..100 {
        store.save(row(&format!("a{number}"), 1999)).await.unwrap();
    }
    store.close().await;
    let whole = fs::read(&path).unwrap();
    let place = Place::File(path.clone());
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..page * 4096 + 64].fill(0xa5);
        fs::write(&path, damaged).unwrap();
        match check(&place).await {
            Ok(checked) => assert!(!checked.is_fine(), "page {page}"),
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}"),
        }
    }
    let missing = check(&Place::File(Path::new("/no/store").to_owned())).await;
    assert!(missing.is_err(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_database_is_found() {
    let Some(url) = database() else { return };
    let place = Place::Url(url.clone());
    let checked = after_payments(&place).await;
    assert_eq!(checked.faults, []);
    assert!(checked.sagas == 60 && checked.rows > 0 && checked.entries > 300, "{checked:?}");
    // A new database has no extension, and a test's server has no checksums.
    assert!(checked.unchecked[0].contains("CREATE EXTENSION amcheck"), "{checked:?}");
    assert!(checked.unchecked[1].contains("checksums"), "{checked:?}");

    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for (damage, words) in DAMAGE {
        client.batch_execute("CREATE TABLE kept_j AS TABLE journal").await.unwrap();
        client.batch_execute("CREATE TABLE kept_s AS TABLE sagas").await.unwrap();
        client.batch_execute("CREATE TABLE kept_p AS TABLE payments").await.unwrap();
        assert_eq!(client.execute(damage, &[]).await.unwrap(), 1, "{damage}");
        has(&check(&place).await.unwrap(), words, damage);
        let undo = "
            UPDATE journal j SET body = k.body FROM kept_j k
                WHERE j.saga = k.saga AND j.seq = k.seq AND j.body <> k.body;
            INSERT INTO journal SELECT * FROM kept_j ON CONFLICT DO NOTHING;
            UPDATE sagas s SET name = k.name, standing = k.standing FROM kept_s k
                WHERE s.number = k.number AND (s.name, s.standing) <> (k.name, k.standing);
            UPDATE payments p SET currency = k.currency, transaction_id = k.transaction_id
                FROM kept_p k WHERE p.number = k.number
                AND (p.currency, p.transaction_id) IS DISTINCT FROM (k.currency, k.transaction_id);
            DROP TABLE kept_j, kept_s, kept_p";
        client.batch_execute(undo).await.unwrap();
    }
    assert!(check(&place).await.unwrap().is_fine());

    if let Err(why) = client.batch_execute("CREATE EXTENSION amcheck").await {
        println!("skipped: no amcheck on this machine: {why}");
        return;
    }
    let checked = check(&place).await.unwrap();
    assert_eq!((checked.faults.len(), checked.unchecked.len()), (0, 1), "{checked:?}");
    // A row that an index does not have.
    let hide = "
        SET allow_system_table_mods = on;
        UPDATE pg_index SET indisready = false WHERE indexrelid = 'payments_payment_key'::regclass;
        INSERT INTO payments (payment, transaction_id, status) VALUES ('pay_x_1', 'txn_x_1', 'voided');
        UPDATE pg_index SET indisready = true WHERE indexrelid = 'payments_payment_key'::regclass";
    client.batch_execute(hide).await.unwrap();
    let checked = check(&place).await.unwrap();
    let found = checked.faults.iter().any(|fault| fault.at == "payments_payment_key");
    assert!(found, "{:?}", checked.faults);
}
