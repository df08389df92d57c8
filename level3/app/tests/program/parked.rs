//! A payment that cannot be undone: every command says so with its exit code.

use level3_domain::journal::{FailureKind, Record, SagaFailure, StepName};
use process_kit::run;

use crate::process::Place;

/// Parks the first payment of a store, as a process would whose undos all fail.
fn park(place: &Place) {
    let db = rusqlite::Connection::open(place.url.strip_prefix("sqlite:").unwrap()).unwrap();
    let read = "SELECT seq, body FROM journal WHERE saga = 1 AND source = 'saga' ORDER BY seq DESC";
    let read = db.query_row(read, (), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let (seq, body) = read.unwrap();
    let mut records: Vec<Record> = serde_json::from_str(&body).unwrap();
    assert_eq!(records.pop(), Some(Record::Completed));
    let step = StepName::from("confirm");
    let message = "no route".to_owned();
    let failure =
        SagaFailure { step: "save".into(), kind: FailureKind::Transient, message: message.clone() };
    records.push(Record::Compensating { failure });
    records.push(Record::UndoParked { step, cause: message, attempts: 23 });
    records.push(Record::Parked);
    let body = serde_json::to_string(&records).unwrap();
    let write = "UPDATE journal SET body = ?1 WHERE saga = 1 AND seq = ?2";
    assert_eq!(db.execute(write, (body, seq)).unwrap(), 1);
    db.execute("UPDATE sagas SET standing = 'parked' WHERE number = 1", ()).unwrap();
}

#[test]
fn every_command_tells_it() {
    let place = Place::sqlite();
    let paid = "--payments 3 --failure-rate 0 --key-prefix run-1";
    assert_eq!(run(place.program(paid)).code, Some(0));
    assert_eq!(run(place.program("dead-letters")).code, Some(0));
    park(&place);
    for (args, code, words) in [
        ("recover --json", 1, "\"parked\": 1"),
        ("--payments 1 --failure-rate 0 --json", 1, "\"parked\": 1"),
        ("dead-letters --json", 1, "no route"),
        ("dead-letters", 1, "payment-gateway redrive tries them again"),
        // They show what was asked for.
        ("show run-1-1", 0, "not undone after 23 attempts: no route"),
        ("check --json", 0, "\"found\": 0"),
    ] {
        let ended = run(place.program(args));
        assert_eq!(ended.code, Some(code), "{args}: {ended:#?}");
        assert!(ended.stdout.contains(words), "{args}: {ended:#?}");
    }
}
