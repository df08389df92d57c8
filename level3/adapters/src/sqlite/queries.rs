//! What a program asks, within a transaction.

use level3_domain::ids::PaymentId;
use level3_domain::journal::Standing;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::journal::{list, read, saga};
use super::statements::{COUNTS, ENTRIES, FAILED_RECEIPTS, IS_PENDING, RECEIPT_FAILED, ROW, ROWS};
use crate::sql::{
    BookedRow, Counts, DeadLetter, Entry, RowColumns, Shown, StoreError, UnixMillis, entry,
    stuck_in, unsigned,
};

pub(super) fn show(db: &Connection, payment: &PaymentId) -> Result<Option<Shown>, Fault> {
    let row = db.prepare_cached(ROW)?.query_row([payment.as_str()], columns).optional()?;
    let row = row.map(BookedRow::try_from).transpose()?;
    let saga = saga(db, payment.as_str())?;
    if row.is_none() && saga.is_none() {
        return Ok(None);
    }
    let pending: i64 =
        db.prepare_cached(IS_PENDING)?.query_row([payment.as_str()], |row| row.get(0))?;
    let mut shown = Shown {
        payment: payment.clone(),
        standing: saga.as_ref().map(|saga| saga.standing),
        epoch: saga.as_ref().map_or(0, |saga| unsigned(saga.mark.epoch)),
        entries: Vec::new(),
        row,
        receipt_pending: pending > 0,
    };
    if let Some(saga) = saga {
        let mut statement = db.prepare_cached(ENTRIES)?;
        let mut rows = statement.query([saga.number])?;
        while let Some(row) = rows.next()? {
            let (source, body): (String, String) = (row.get(3)?, row.get(4)?);
            shown.entries.push(Entry {
                seq: unsigned(row.get(0)?),
                epoch: unsigned(row.get(1)?),
                at: UnixMillis(row.get(2)?),
                written: entry(&source, &body)?,
            });
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
        let payment = PaymentId::try_from(row.get::<_, String>(0)?)
            .map_err(|why| StoreError::unreadable("payment", why))?;
        letters.push(DeadLetter::Receipt { payment, cause: row.get(1)?, failures: row.get(2)? });
    }
    Ok(letters)
}

pub(super) fn counts(db: &Connection) -> Result<Counts, Fault> {
    let mut counts = Counts::default();
    let mut statement = db.prepare_cached(COUNTS)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        counts.add(&row.get::<_, String>(0)?, unsigned(row.get(1)?));
    }
    Ok(counts)
}

pub(super) fn rows(db: &Connection, after: i64, most: i64) -> Result<Vec<BookedRow>, Fault> {
    let mut statement = db.prepare_cached(ROWS)?;
    let found: Vec<RowColumns> =
        statement.query_map(params![after, most], columns)?.collect::<Result<_, _>>()?;
    Ok(found.into_iter().map(BookedRow::try_from).collect::<Result<_, _>>()?)
}

pub(super) fn receipt_failed(db: &Connection, payment: &str, cause: &str) -> Result<(), Fault> {
    db.prepare_cached(RECEIPT_FAILED)?.execute(params![payment, cause])?;
    Ok(())
}

fn columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<RowColumns> {
    Ok(RowColumns {
        number: row.get(0)?,
        payment: row.get(1)?,
        transaction: row.get(2)?,
        order: row.get(3)?,
        intent: row.get(4)?,
        minor: row.get(5)?,
        currency: row.get(6)?,
        status: row.get(7)?,
        saved_at: row.get(8)?,
    })
}
