//! The audit trail: each change is in it, and a change of the trail or of the rows is found.

use futures::future::join_all;
use level3_adapters::postgres::{PostgresAddress, PostgresReader};
use level3_adapters::sql::{
    Anchor, Audited, DeliveryQuery, Dispute, EventNote, NewArrival, NewDelivery, NewRefund,
    RefundBegun, RefundOutcome, RefundTurn, Store,
};
use level3_adapters::sqlite::SqliteReader;
use level3_domain::ids::{IntentId, PaymentKey};
use level3_domain::journal::{Claimed, Opened, Record, StoreId};
use level3_domain::money::{Currency, Money};
use level3_domain::refund::RefundId;
use tokio_postgres::NoTls;

use crate::backend::LONG;
use crate::contract::{begun, id, payment, row, started};
use crate::payments::{PATIENCE, Place};

/// Verifies the trail of a store, while it is in use.
pub async fn audited(place: &Place, anchors: &[Anchor]) -> Audited {
    let audited = match place {
        Place::File(path) => SqliteReader::open(path).await.unwrap().audit(anchors.to_vec()).await,
        Place::Url(url) => {
            let address = PostgresAddress::new(url).unwrap();
            let reader = PostgresReader::connect(address, PATIENCE).await.unwrap();
            reader.audit(anchors.to_vec()).await
        }
    };
    audited.unwrap().expect("the store has a trail")
}

/// The trail is whole, and the rows and refunds are as it says.
pub async fn whole(place: &Place) -> Audited {
    let audited = audited(place, &[]).await;
    assert!(audited.is_fine(), "{audited:?}");
    audited
}

/// Runs statements as an administrator does. Returns whether the database has taken them.
pub async fn administrator(place: &Place, statements: &str) -> Result<(), String> {
    match place {
        Place::File(path) => {
            let db = rusqlite::Connection::open(path).unwrap();
            db.busy_timeout(PATIENCE).unwrap();
            db.execute_batch(statements).map_err(|error| error.to_string())
        }
        Place::Url(url) => {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            let done = client.batch_execute(statements).await;
            done.map_err(|error| error.as_db_error().unwrap().message().to_owned())
        }
    }
}

fn refund(name: &str) -> RefundId {
    RefundId::derive(&StoreId::unnamed(), &PaymentKey::new(name).unwrap())
}

pub async fn refunded(store: &dyn Store, name: &str, minor: i64) -> RefundTurn {
    let new = NewRefund { refund: refund(name), payment: payment("a"), asked: Some(minor) };
    match store.begin_refund(new).await.unwrap() {
        RefundBegun::New(turn) => turn,
        other => panic!("{other:?}"),
    }
}

/// Makes a change of each kind. Returns their number.
pub async fn changes(store: &dyn Store) -> u64 {
    let saga = id(payment("a").as_str());
    let opened = store.open_labelled(saga.clone(), begun("a"), "shop".to_owned()).await.unwrap();
    let Opened::New(lease) = opened else { panic!("{opened:?}") };
    store.append(&lease, vec![started("create")]).await.unwrap();
    store.save(row("a", 1000)).await.unwrap();
    store.append(&lease, vec![Record::Completed]).await.unwrap();
    let first = refunded(store, "first", 400).await;
    let second = refunded(store, "second", 100).await;
    assert!(
        store.settle_refund(&first, RefundOutcome::Succeeded("re_1".into()), None).await.unwrap()
    );
    assert!(
        store.settle_refund(&second, RefundOutcome::Failed("no\0".into()), None).await.unwrap()
    );
    let note = |kind, subject: &str| EventNote {
        name: format!("{kind} {subject}"),
        filed_as: saga.clone(),
        kind,
        subject: subject.to_owned(),
    };
    let failed = note("refund.failed", refund("first").as_str());
    assert!(store.refund_failed_late(refund("first"), "returned".into(), failed).await.unwrap());
    let report = NewArrival { name: "evt_1".into(), kind: "kind".into(), detail: "{}".into() };
    assert!(store.take_in(report).await.unwrap());
    let dispute = Dispute {
        id: "dp_1".to_owned(),
        intent: IntentId::new("pi_a").unwrap(),
        amount: Money::new(500, Currency::USD).unwrap(),
        reason: "fraudulent".to_owned(),
        status: "needs_response".to_owned(),
        is_closed: false,
        as_of: 1,
    };
    assert!(store.record_dispute(dispute, "dp_1 1".to_owned()).await.unwrap().is_some());
    store.save(row("b", 1000)).await.unwrap();
    store.void(payment("b")).await.unwrap();
    store.void(payment("c")).await.unwrap();
    let event = store.unplanned(10).await.unwrap()[0].number;
    let delivery = NewDelivery { endpoint: "one".into(), body: "{}".into() };
    store.plan(event, vec![delivery]).await.unwrap();
    let all = DeliveryQuery { label: None, state: None, before: None, most: 1 };
    let number = store.deliveries(all).await.unwrap()[0].number;
    assert!(store.replay(number, None).await.unwrap());
    // A saga that is parked, and taken over.
    let opened = store.open(id("d"), begun("d")).await.unwrap();
    let Opened::New(lease) = opened else { panic!("{opened:?}") };
    store.append(&lease, vec![Record::Parked]).await.unwrap();
    let claimed = store.claim(id("d")).await.unwrap();
    let Claimed::Acquired(lease, _) = claimed else { panic!("{claimed:?}") };
    store.append(&lease, vec![Record::Compensated]).await.unwrap();
    // Repeats change nothing, and so have no entry.
    store.save(row("a", 1000)).await.unwrap();
    store.void(payment("b")).await.unwrap();
    let report = NewArrival { name: "evt_1".into(), kind: "kind".into(), detail: "{}".into() };
    assert!(!store.take_in(report).await.unwrap());
    18
}

/// Each change has one entry, which is written with it.
pub async fn each_change_has_an_entry(place: Place) {
    let store = place.open(LONG).await;
    let nothing = whole(&place).await;
    assert_eq!((nothing.entries, nothing.head.entry), (0, 0));
    let expected = changes(&*store).await;
    let found = whole(&place).await;
    assert_eq!((found.entries, found.head.entry), (expected, expected));
    // What was refused has none.
    assert!(store.save(row("c", 1)).await.is_err());
    assert_eq!(whole(&place).await.entries, expected);
    // The anchors of before still fit.
    store.save(row("e", 1)).await.unwrap();
    let later = audited(&place, &[nothing.head, found.head]).await;
    assert!(later.is_fine() && later.anchors == 2, "{later:?}");
}

/// What an administrator of the database does to the trail, and the first entry that shows it.
const DAMAGE: [(&str, u64); 9] = [
    ("UPDATE audit SET body = replace(body, '1000', '9000') WHERE seq = 2", 2),
    ("UPDATE audit SET subject = 'pay_x' WHERE seq = 3", 3),
    ("UPDATE audit SET at = at + 1 WHERE seq = 4", 4),
    ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 4) WHERE seq = 5", 5),
    ("DELETE FROM audit WHERE seq = 1", 1),
    ("DELETE FROM audit WHERE seq = 7", 7),
    // Reordered: the numbers of two entries are exchanged.
    (
        "UPDATE audit SET seq = -seq WHERE seq IN (3, 4); UPDATE audit SET seq = 7 + seq WHERE seq < 0",
        3,
    ),
    // The tail is cut off.
    ("DELETE FROM audit WHERE seq > 15", 16),
    // An entry is added without the program.
    (
        "INSERT INTO audit SELECT 19, at, instance, subject, body, hash FROM audit WHERE seq = 18",
        19,
    ),
];

/// What is done to rows and refunds, and words of what is found.
const CHANGED_ROWS: [(&str, &str); 6] = [
    ("UPDATE payments SET minor = 900 WHERE intent = 'pi_a'", "amount"),
    ("UPDATE payments SET intent = 'pi_x' WHERE intent = 'pi_a'", "intent"),
    ("UPDATE payments SET status = 'completed' WHERE intent = 'pi_b'", "status"),
    ("UPDATE refunds SET minor = 1 WHERE number = 1", "amount"),
    ("UPDATE refunds SET state = 'succeeded' WHERE number = 2", "state"),
    ("DELETE FROM refunds WHERE number = 2", "missing"),
];

pub async fn changes_of_the_trail_are_found(place: Place) {
    let store = place.open(LONG).await;
    assert_eq!(changes(&*store).await, 18);
    for statement in ["UPDATE audit SET at = 1", "DELETE FROM audit WHERE seq = 18"] {
        let refused = administrator(&place, statement).await.unwrap_err();
        assert!(refused.contains("the audit trail is append-only"), "{refused}");
    }
    let before = whole(&place).await;
    // An administrator can drop the triggers.
    let drop = match &place {
        Place::File(_) => "DROP TRIGGER audit_keeps_entries; DROP TRIGGER audit_loses_no_entry",
        Place::Url(_) => "DROP TRIGGER audit_keeps_entries ON audit",
    };
    let keep = "CREATE TABLE kept_audit AS SELECT * FROM audit;
                CREATE TABLE kept_head AS SELECT * FROM audit_head;
                CREATE TABLE kept_refunds AS SELECT number, minor, state FROM refunds;
                CREATE TABLE kept_payments AS SELECT number, minor, intent, status FROM payments";
    administrator(&place, drop).await.unwrap();
    administrator(&place, keep).await.unwrap();
    let undo = "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept_audit;
                DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM kept_head";
    for (damage, entry) in DAMAGE {
        administrator(&place, damage).await.unwrap();
        let found = audited(&place, &[]).await;
        let broken = found.broken.unwrap_or_else(|| panic!("{damage}"));
        assert_eq!(broken.entry, entry, "{damage}: {broken:?}");
        administrator(&place, undo).await.unwrap();
    }
    // If the head is moved too, an anchor shows it, and so do the rows that the entries were about.
    let cut = "DELETE FROM audit WHERE seq > 10;
               UPDATE audit_head SET entries = 10, hash = (SELECT hash FROM audit WHERE seq = 10)";
    administrator(&place, cut).await.unwrap();
    let found = audited(&place, &[]).await;
    assert_eq!((found.broken, found.found), (None, 2), "the rows b and c: {:?}", found.faults);
    let found = audited(&place, &[before.head]).await;
    assert_eq!(found.broken.unwrap().entry, 11);
    administrator(&place, undo).await.unwrap();

    let undo = "UPDATE payments SET minor = (SELECT minor FROM kept_payments k WHERE k.number = payments.number),
                    intent = (SELECT intent FROM kept_payments k WHERE k.number = payments.number),
                    status = (SELECT status FROM kept_payments k WHERE k.number = payments.number);
                UPDATE refunds SET minor = (SELECT minor FROM kept_refunds k WHERE k.number = refunds.number),
                    state = (SELECT state FROM kept_refunds k WHERE k.number = refunds.number)";
    for (change, words) in CHANGED_ROWS {
        assert!(whole(&place).await.is_fine());
        administrator(&place, change).await.unwrap();
        let found = audited(&place, &[]).await;
        assert!(found.broken.is_none() && found.found == 1, "{change}: {found:?}");
        assert!(found.faults[0].what.contains(words), "{change}: {:?}", found.faults);
        administrator(&place, undo).await.unwrap();
    }
}

/// Two processes write at the same time, in groups: one chain.
pub async fn two_processes_write_one_chain(place: Place) {
    let stores = [place.open(LONG).await, place.open(LONG).await];
    let anchor = whole(&place).await.head;
    let many = (0..200).map(|number| {
        let store = &stores[number % 2];
        async move {
            // Of each name both save, and one of them writes.
            let key = format!("a{}", number / 2);
            // Refused once the other process has voided it.
            let _ = store.save(row(&key, 100)).await;
            if number % 4 == 0 {
                store.void(payment(&key)).await.unwrap();
            }
        }
    });
    join_all(many).await;
    let found = audited(&place, &[anchor]).await;
    assert!(found.is_fine() && found.anchors == 1, "{found:?}");
    assert_eq!(found.entries, 100 + 50);
}
