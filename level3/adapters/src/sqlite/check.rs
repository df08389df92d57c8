//! The full check of a file.

use level3_domain::journal::StoreId;
use rusqlite::Connection;

use super::fault::Fault;
use super::statements::{
    EVERY_ENTRY, EVERY_REFUND, EVERY_ROW, FOREIGN_KEYS, HAS_REFUNDS, INTEGRITY,
};
use crate::sql::{Checked, Checker};

/// Checks the structure of the file, and reads every record and row. Within a transaction.
pub(super) fn check(db: &Connection, store: StoreId) -> Result<Checked, Fault> {
    let mut checker = Checker::new(store);
    let outcome = structure(db, &mut checker);
    settle(&mut checker, "the file", outcome);
    let outcome = each(db, EVERY_ENTRY, |row| checker.entry(row));
    settle(&mut checker, "journal", outcome);
    let outcome = each(db, EVERY_ROW, |row| checker.row(row));
    settle(&mut checker, "payments", outcome);
    // A file of an earlier version has no refunds.
    if db.prepare(HAS_REFUNDS)?.exists(())? {
        let outcome = each(db, EVERY_REFUND, |row| checker.refunds(row));
        settle(&mut checker, "refunds", outcome);
    }
    Ok(checker.end())
}

/// A part that cannot be read is a fault, and the next part is still read.
fn settle(checker: &mut Checker, part: &str, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        checker.fault(part, fault.to_string());
    }
}

/// Reads the rows of a query one by one.
pub(super) fn each(
    db: &Connection,
    text: &str,
    mut look: impl FnMut(&rusqlite::Row<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut statement = db.prepare(text)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        look(row)?;
    }
    Ok(())
}

/// Checks every page, every index and every reference.
fn structure(db: &Connection, checker: &mut Checker) -> Result<(), Fault> {
    each(db, INTEGRITY, |row| {
        let found: String = row.get(0)?;
        if found != "ok" {
            checker.fault("the file", found);
        }
        Ok(())
    })?;
    each(db, FOREIGN_KEYS, |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        checker.fault(table, format!("a row refers to one of {parent} that does not exist"));
        Ok(())
    })
}
