//! The queries of a program, within a transaction.

use level3_domain::ids::PaymentId;
use level3_domain::journal::{SagaId, Standing};
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::journal::{list, read, saga};
use super::statements::{
    COUNTS, ENTRIES, FAILED_RECEIPTS, IS_PENDING, LABELLED, RECEIPT_FAILED, ROW, ROWS,
};
use crate::sql::{
    BookedRow, Columns, Counts, DeadLetter, LabelQuery, Labelled, Shown, UnixMillis, add_count,
    booked_row, failed_receipt, journal_entry, labelled as labelled_saga, limit, shown, stuck_in,
};

impl Columns for rusqlite::Row<'_> {
    type Fault = Fault;

    fn text(&self, column: usize) -> Result<String, Fault> {
        Ok(self.get(column)?)
    }

    fn number(&self, column: usize) -> Result<i64, Fault> {
        Ok(self.get(column)?)
    }
}

pub(super) fn show(db: &Connection, payment: &PaymentId) -> Result<Option<Shown>, Fault> {
    let name = payment.as_str();
    let row = db.prepare_cached(ROW)?.query([name])?.next()?.map(booked_row).transpose()?;
    let saga = saga(db, name)?;
    let stands = saga.as_ref().map(|saga| (saga.standing, saga.mark.epoch));
    let pending = db.prepare_cached(IS_PENDING)?.query_row([name], |row| row.get(0))?;
    let Some(mut shown) = shown(payment, stands, row, pending) else { return Ok(None) };
    if let Some(saga) = saga {
        let mut statement = db.prepare_cached(ENTRIES)?;
        let mut rows = statement.query([saga.number])?;
        while let Some(row) = rows.next()? {
            shown.entries.push(journal_entry(row)?);
        }
    }
    Ok(Some(shown))
}

pub(super) fn dead_letters(db: &Connection, most: i64) -> Result<Vec<DeadLetter>, Fault> {
    let mut letters = Vec::new();
    for saga in list(db, Standing::Parked, most)? {
        if let Some(saga_log) = read(db, &saga)? {
            letters.push(DeadLetter::Undo { saga, stuck: stuck_in(&saga_log.records) });
        }
    }
    let mut statement = db.prepare_cached(FAILED_RECEIPTS)?;
    let mut rows = statement.query([most])?;
    while let Some(row) = rows.next()? {
        letters.push(failed_receipt(row)?);
    }
    Ok(letters)
}

pub(super) fn counts(db: &Connection) -> Result<Counts, Fault> {
    let mut counts = Counts::default();
    let mut statement = db.prepare_cached(COUNTS)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        add_count(&mut counts, row)?;
    }
    Ok(counts)
}

pub(super) fn rows(db: &Connection, after: i64, most: i64) -> Result<Vec<BookedRow>, Fault> {
    let mut found = Vec::new();
    let mut statement = db.prepare_cached(ROWS)?;
    let mut rows = statement.query(params![after, most])?;
    while let Some(row) = rows.next()? {
        found.push(booked_row(row)?);
    }
    Ok(found)
}

pub(super) fn labelled(db: &Connection, query: &LabelQuery) -> Result<Vec<Labelled>, Fault> {
    let before = query.before.as_ref().map(SagaId::as_str);
    let (from, to) = (query.from.unwrap_or(UnixMillis(i64::MIN)), query.to);
    let to = to.unwrap_or(UnixMillis(i64::MAX));
    let mut found = Vec::new();
    let mut statement = db.prepare_cached(LABELLED)?;
    let mut rows =
        statement.query(params![query.label, before, from.0, to.0, limit(query.most)])?;
    while let Some(row) = rows.next()? {
        found.push(labelled_saga(row)?);
    }
    Ok(found)
}

pub(super) fn receipt_failed(db: &Connection, payment: &str, cause: &str) -> Result<(), Fault> {
    db.prepare_cached(RECEIPT_FAILED)?.execute(params![payment, cause])?;
    Ok(())
}
