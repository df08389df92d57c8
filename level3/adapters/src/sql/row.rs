//! Converts the rows of both databases.

use level3_domain::ids::{IntentId, OrderId, PaymentId, TransactionId};
use level3_domain::journal::{SagaId, Standing};
use level3_domain::provider::{Row, RowStatus};

use super::log::entry;
use super::view::{BookedRow, Counts, DeadLetter, Entry, Labelled, UnixMillis, money, unsigned};
use super::{Shown, StoreError};

/// A row of a result, whose columns are read by position.
pub(crate) trait Columns {
    /// Why a column cannot be read, or why its value is invalid.
    type Fault: From<StoreError>;

    /// Reads a column of text.
    fn text(&self, column: usize) -> Result<String, Self::Fault>;

    /// Reads a column of whole numbers.
    fn number(&self, column: usize) -> Result<i64, Self::Fault>;
}

/// Reads a row of the ledger.
pub(crate) fn booked_row<R: Columns>(row: &R) -> Result<BookedRow, R::Fault> {
    let bad = |why: &dyn std::fmt::Display| StoreError::unreadable("row", why);
    let status = match row.text(7)?.as_str() {
        "completed" => RowStatus::Completed,
        "voided" => RowStatus::Voided,
        other => return Err(bad(&format!("status {other}")).into()),
    };
    let ledger_row = Row {
        transaction: TransactionId::new(row.text(2)?).map_err(|why| bad(&why))?,
        payment: PaymentId::try_from(row.text(1)?).map_err(|why| bad(&why))?,
        amount: money(row.number(5)?, row.text(6)?)?,
        status,
    };
    Ok(BookedRow {
        number: u64::try_from(row.number(0)?).map_err(|why| bad(&why))?,
        row: ledger_row,
        order: OrderId::new(row.text(3)?).map_err(|why| bad(&why))?,
        intent: IntentId::new(row.text(4)?).map_err(|why| bad(&why))?,
        saved_at: UnixMillis(row.number(8)?),
    })
}

/// Reads an entry of the journal: records of a saga and notes of the ledger.
pub(crate) fn journal_entry<R: Columns>(row: &R) -> Result<Entry, R::Fault> {
    Ok(Entry {
        seq: unsigned(row.number(0)?),
        epoch: unsigned(row.number(1)?),
        at: UnixMillis(row.number(2)?),
        written: entry(&row.text(3)?, &row.text(4)?)?,
    })
}

/// Reads a saga with a label.
pub(crate) fn labelled<R: Columns>(row: &R) -> Result<Labelled, R::Fault> {
    Ok(Labelled { saga: SagaId::from(row.text(0)?), begun_at: UnixMillis(row.number(1)?) })
}

/// Reads a receipt that could not be sent.
pub(crate) fn failed_receipt<R: Columns>(row: &R) -> Result<DeadLetter, R::Fault> {
    let payment =
        PaymentId::try_from(row.text(0)?).map_err(|why| StoreError::unreadable("payment", why))?;
    let failures = u32::try_from(row.number(2)?).unwrap_or(u32::MAX);
    Ok(DeadLetter::Receipt { payment, cause: row.text(1)?, failures })
}

/// Adds one row to the counts.
pub(crate) fn add_count<R: Columns>(counts: &mut Counts, row: &R) -> Result<(), R::Fault> {
    counts.add(&row.text(0)?, unsigned(row.number(1)?));
    Ok(())
}

/// Makes a payment without its entries; `None` if the store has neither a row nor a saga of it.
/// `saga` is its status and its epoch.
pub(crate) fn shown(
    payment: &PaymentId,
    saga: Option<(Standing, i64)>,
    row: Option<BookedRow>,
    pending_receipts: i64,
) -> Option<Shown> {
    if row.is_none() && saga.is_none() {
        return None;
    }
    Some(Shown {
        payment: payment.clone(),
        standing: saga.map(|(standing, _)| standing),
        epoch: saga.map_or(0, |(_, epoch)| unsigned(epoch)),
        entries: Vec::new(),
        row,
        receipt_pending: pending_receipts > 0,
    })
}
