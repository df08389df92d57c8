//! The audit trail by the commands, after payments, and after a change of the store by hand.

use std::fs;

use process_kit::run;
use rusqlite::Connection;

use crate::process::Place;

#[test]
fn a_broken_link_is_named() {
    let place = Place::sqlite();
    assert_eq!(run(place.program("--payments 9 --failure-rate 0")).code, Some(0));
    let head = run(place.program("audit head"));
    assert_eq!(head.code, Some(0), "{head:#?}");
    let anchors = place.folder().join("anchors");
    fs::write(&anchors, format!("# the first day\n{}", head.stdout)).unwrap();
    assert_eq!(run(place.program("--payments 9 --failure-rate 0")).code, Some(0));
    let verify = || run(place.program("audit verify --anchors anchors --json"));
    let whole = verify();
    assert_eq!(whole.code, Some(0), "{whole:#?}");
    let whole = whole.json();
    assert!(whole["anchors"] == 1 && whole["entries"].as_u64() > Some(36), "{whole:#}");

    let db = Connection::open(place.url.strip_prefix("sqlite:").unwrap()).unwrap();
    let refused = db.execute("UPDATE audit SET at = 1 WHERE seq = 5", ()).unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
    db.execute_batch("DROP TRIGGER audit_keeps_entries; UPDATE audit SET at = 1 WHERE seq = 5")
        .unwrap();
    drop(db);
    let broken = run(place.program("audit verify"));
    assert_eq!(broken.code, Some(1), "{broken:#?}");
    assert!(broken.stdout.contains("entry 5: its hash is not that"), "{broken:#?}");
    assert_eq!(verify().json()["broken"]["entry"], 5);
    // No anchor is printed for what is broken.
    let head = run(place.program("audit head"));
    assert!(head.code == Some(1) && head.stdout.is_empty(), "{head:#?}");
}

#[test]
fn anchors_that_cannot_be_read_are_named() {
    let place = Place::sqlite();
    assert_eq!(run(place.program("--payments 1 --failure-rate 0")).code, Some(0));
    let missing = run(place.program("audit verify --anchors nowhere"));
    assert_eq!(missing.code, Some(2), "{missing:#?}");
    fs::write(place.folder().join("anchors"), "17 not-a-hash\n").unwrap();
    let wrong = run(place.program("audit verify --anchors anchors"));
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.stderr.contains("line 1"), "{wrong:#?}");
}

/// The postings of payments add up to zero, and a line that was changed is found.
#[test]
fn the_trial_balance_is_zero() {
    let place = Place::sqlite();
    assert_eq!(run(place.program("--payments 9 --failure-rate 0")).code, Some(0));
    let balance = run(place.program("trial-balance"));
    assert_eq!(balance.code, Some(0), "{balance:#?}");
    assert!(balance.stdout.contains("Each currency adds up to zero"), "{balance:#?}");
    let json = run(place.program("trial-balance --json")).json();
    let sums =
        json["accounts"].as_array().unwrap().iter().map(|it| it["balance"].as_i64().unwrap());
    let sums: Vec<_> = sums.collect();
    assert!(sums.len() == 2 && sums[0] < 0 && sums[0] + sums[1] == 0, "{json:#}");

    let db = Connection::open(place.url.strip_prefix("sqlite:").unwrap()).unwrap();
    db.execute("UPDATE postings SET minor = minor + 1 WHERE account = 'provider'", ()).unwrap();
    drop(db);
    let found = run(place.program("trial-balance"));
    assert_eq!(found.code, Some(1), "{found:#?}");
    assert!(found.stdout.contains("the lines of its posting \"paid\" add up to 1"), "{found:#?}");
}
