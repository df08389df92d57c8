use std::fmt;

use level3_domain::journal::StepName;
use serde_json::json;

use super::*;
use crate::sql::{StoreError, encode};

/// A row of a result.
struct Row(Vec<String>);

#[derive(Debug)]
struct Fault(StoreError);

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Columns for Row {
    type Fault = Fault;

    fn text(&self, column: usize) -> Result<String, Fault> {
        Ok(self.0[column].clone())
    }

    fn number(&self, column: usize) -> Result<i64, Fault> {
        Ok(self.0[column].parse().unwrap())
    }
}

fn store() -> StoreId {
    StoreId::new("a store")
}

fn key() -> PaymentKey {
    PaymentKey::new("key").unwrap()
}

fn name() -> String {
    PaymentId::derive(&store(), &key(), 1).as_str().to_owned()
}

fn begun() -> Record {
    let state = Payload::of(&json!({ "payment": { "key": "key" } })).unwrap();
    Record::Begun { kind: StepName::from("payment"), state }
}

/// Entries of a saga, each with its seq and epoch.
struct Journal {
    name: String,
    epoch: i64,
    standing: &'static str,
    has_row: bool,
    entries: Vec<(i64, i64, &'static str, String)>,
}

impl Journal {
    fn new(standing: &'static str, entries: &[&[Record]]) -> Self {
        let entries =
            (1..).zip(entries).map(|(seq, records)| (seq, 1, "saga", encode(records).unwrap()));
        Self { name: name(), epoch: 1, standing, has_row: false, entries: entries.collect() }
    }

    fn faults(&self) -> Vec<String> {
        let mut checker = Checker::new(store());
        let none = [(0, 0, "", String::new())];
        let entries = if self.entries.is_empty() { &none[..] } else { &self.entries };
        for (seq, epoch, source, body) in entries {
            let columns = [
                self.name.clone(),
                self.epoch.to_string(),
                self.standing.to_owned(),
                i64::from(self.has_row).to_string(),
                seq.to_string(),
                epoch.to_string(),
                (*source).to_owned(),
                body.clone(),
            ];
            checker.entry(&Row(columns.to_vec())).unwrap();
        }
        let checked = checker.end();
        assert_eq!((checked.sagas, checked.found), (1, checked.faults.len() as u64));
        assert!(checked.faults.iter().all(|fault| fault.at == self.name));
        checked.faults.into_iter().map(|fault| fault.what).collect()
    }
}

fn has(faults: &[String], words: &str) {
    assert!(faults.len() == 1 && faults[0].contains(words), "{words}: {faults:?}");
}

#[test]
fn what_fits_has_no_fault() {
    let done = [Record::Completed];
    for journal in [
        Journal::new("open", &[&[begun()]]),
        Journal::new("ended", &[&[begun()], &done]),
        Journal::new("ended", &[&[begun(), Record::Compensated]]),
        Journal::new("parked", &[&[begun()], &[Record::Parked]]),
        // Claimed, and nothing written yet.
        Journal { epoch: 2, ..Journal::new("open", &[&[begun()], &[Record::Parked]]) },
    ] {
        assert_eq!(journal.faults(), Vec::<String>::new());
    }
    let empty = Checker::new(store()).end();
    assert!(empty.is_fine() && empty == Checked::default());
}

#[test]
fn a_journal_with_gaps_is_found() {
    has(&Journal::new("open", &[]).faults(), "no entries");
    has(&Journal::new("ended", &[&[begun()]]).faults(), "it is ended, and its entries say open");
    has(&Journal::new("nowhere", &[&[begun()]]).faults(), "standing");
    let mut gap = Journal::new("open", &[&[begun()], &[], &[]]);
    gap.entries.remove(1);
    has(&gap.faults(), "entry 2 is missing");
    has(&Journal::new("open", &[&[begun()], &[begun()]]).faults(), "begins once");
    has(&Journal::new("ended", &[&[Record::Completed]]).faults(), "begins once");
    let mut late = Journal::new("open", &[&[begun()]]);
    late.entries[0].1 = 2;
    has(&late.faults(), "epoch 2");
}

#[test]
fn a_record_that_no_version_reads_is_found_and_not_repeated() {
    for body in
        ["{", "[{\"record\":\"ann@example.com\"}]", "[{\"record\":{\"ann@example.com\":1}}]"]
    {
        let mut journal = Journal::new("ended", &[&[begun()], &[]]);
        journal.entries[1].3 = body.to_owned();
        let faults = journal.faults();
        has(&faults, "entry 2: the record in the store cannot be read");
        assert!(!faults[0].contains("ann@"), "{faults:?}");
    }
}

#[test]
fn a_saga_of_another_store_is_found() {
    let other = PaymentId::derive(&StoreId::new("another"), &key(), 1).as_str().to_owned();
    has(&Journal { name: other, ..Journal::new("open", &[&[begun()]]) }.faults(), "another store");
}

#[test]
fn a_row_that_is_gone_is_found() {
    let mut journal = Journal::new("open", &[&[begun()]]);
    let note = "{\"note\":\"row_saved\",\"transaction\":\"txn_1\"}".to_owned();
    journal.entries.push((2, 1, "ledger", note));
    has(&journal.faults(), "the ledger does not have it");
    journal.has_row = true;
    assert_eq!(journal.faults(), Vec::<String>::new());
}

/// Checks a row with some columns changed.
fn row(changes: &[(usize, &str)]) -> Vec<String> {
    let payment = name();
    let transaction = format!("txn_{}", payment.strip_prefix("pay_").unwrap());
    let columns = [
        "1",
        &payment,
        &transaction,
        "order",
        "pi_1",
        "100",
        "USD",
        "completed",
        "0",
        "1",
        "0",
        "ann@example.com",
    ];
    let mut columns = columns.map(ToOwned::to_owned).to_vec();
    for (column, text) in changes {
        (*text).clone_into(&mut columns[*column]);
    }
    let mut checker = Checker::new(store());
    checker.row(&Row(columns)).unwrap();
    checker.end().faults.into_iter().map(|fault| fault.what).collect()
}

#[test]
fn a_row_that_does_not_fit_is_found() {
    assert_eq!(row(&[]), Vec::<String>::new());
    // A tombstone has no columns of a row.
    let tombstone = [(3, ""), (4, ""), (5, "0"), (6, ""), (7, "voided"), (8, "-1"), (11, "")];
    assert_eq!(row(&tombstone), Vec::<String>::new());
    has(&row(&[(2, "txn_other")]), "the name of another");
    has(&row(&[(9, "0")]), "belongs to another store");
    has(&row(&[(6, "XXX")]), "currency");
    has(&row(&[(5, "-1")]), "amount");
    has(&row(&[(11, "hunter2")]), "the address of its row");
    has(&row(&[(7, "voided"), (10, "1")]), "its receipt is to be sent");
}

#[test]
fn many_faults_are_counted_and_some_kept() {
    let mut checker = Checker::new(store());
    for _ in 0..KEPT + 5 {
        checker.fault("a", "b");
    }
    let checked = checker.end();
    assert_eq!((checked.found, checked.faults.len()), (KEPT as u64 + 5, KEPT));
}
