//! The ledger's operations within a transaction.

use level3_domain::ids::{Email, OrderId, PaymentId, TransactionId};
use level3_domain::provider::{NewRow, PendingReceipt, ProviderError, Receipt, Row, RowStatus};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit;
use super::fault::Fault;
use super::presence::Presence;
use super::statements::{
    CLAIM_RECEIPT, NO_RECEIPT, NOTE, OUTBOX_ENTRY, PENDING, RECEIPT_DUE, RECEIPT_SENT,
    RELEASE_RECEIPT, SAVE, SAVED, VOID,
};
use crate::sql::{
    Change, LedgerNote, OutboxEntry, ReceiptClaim, StoreError, Watch, decide, money, note,
    transaction_of,
};

/// The answer of the ledger; the outer error is the store's.
type Booked<T> = Result<Result<T, ProviderError>, Fault>;

pub(super) fn save(db: &Connection, me: i64, new: &NewRow) -> Booked<Row> {
    let transaction = transaction_of(&new.payment)?;
    let number: Option<i64> = db
        .prepare_cached(SAVE)?
        .query_row(
            params![
                new.payment.as_str(),
                transaction.as_str(),
                new.order.as_str(),
                new.intent.as_str(),
                new.amount.minor(),
                new.amount.currency().code(),
                new.email.expose(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let row = Row {
        transaction,
        payment: new.payment.clone(),
        amount: new.amount,
        status: RowStatus::Completed,
    };
    let Some(number) = number else { return saved_before(db, row) };
    db.prepare_cached(RECEIPT_DUE)?.execute([number])?;
    let body = note(&LedgerNote::RowSaved { transaction: row.transaction.clone() })?;
    db.prepare_cached(NOTE)?.execute(params![new.payment.as_str(), body])?;
    audit::note(db, me, new.payment.as_str(), &Change::saved(new)?)?;
    Ok(Ok(row))
}

/// Returns the row that exists already; an error if its amount differs or the payment was voided.
fn saved_before(db: &Connection, asked: Row) -> Booked<Row> {
    type Columns = (String, Option<i64>, Option<String>);
    let (status, minor, currency): Columns = db
        .prepare_cached(SAVED)?
        .query_row([asked.payment.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if status == "voided" {
        return Ok(Err(ProviderError::Invalid { message: "the payment was voided".to_owned() }));
    }
    let amount = money(minor.unwrap_or_default(), currency.unwrap_or_default())?;
    Ok(if amount == asked.amount { Ok(asked) } else { Err(ProviderError::KeyReused) })
}

pub(super) fn void(db: &Connection, me: i64, payment: &PaymentId) -> Result<(), Fault> {
    let transaction = transaction_of(payment)?;
    let number: Option<i64> = db
        .prepare_cached(VOID)?
        .query_row(params![payment.as_str(), transaction.as_str()], |row| row.get(0))
        .optional()?;
    // No row was changed: the payment was voided before.
    if let Some(number) = number {
        db.prepare_cached(NO_RECEIPT)?.execute([number])?;
        let body = note(&LedgerNote::RowVoided)?;
        db.prepare_cached(NOTE)?.execute(params![payment.as_str(), body])?;
        audit::note(db, me, payment.as_str(), &Change::RowVoided)?;
    }
    Ok(())
}

pub(super) fn pending_receipts(db: &Connection, most: i64) -> Result<Vec<PendingReceipt>, Fault> {
    let mut statement = db.prepare_cached(PENDING)?;
    let mut rows = statement.query([most])?;
    let mut pending = Vec::new();
    let bad = |why: &dyn std::fmt::Display| StoreError::unreadable("receipt", why);
    while let Some(row) = rows.next()? {
        let text = |column| row.get::<_, String>(column);
        let receipt = Receipt {
            transaction: TransactionId::new(text(1)?).map_err(|why| bad(&why))?,
            order: OrderId::new(text(2)?).map_err(|why| bad(&why))?,
            amount: money(row.get(3)?, text(4)?)?,
            email: Email::new(text(5)?).map_err(|why| bad(&why))?,
        };
        let payment = PaymentId::try_from(text(0)?).map_err(|why| bad(&why))?;
        pending.push(PendingReceipt { payment, receipt });
    }
    Ok(pending)
}

pub(super) fn receipt_sent(db: &Connection, transaction: &str) -> Result<(), Fault> {
    db.prepare_cached(RECEIPT_SENT)?.execute([transaction])?;
    Ok(())
}

pub(super) fn claim_receipt(
    db: &Connection,
    watch: &Watch,
    me: &Presence,
    transaction: &TransactionId,
) -> Result<ReceiptClaim, Fault> {
    let entry = db.prepare_cached(OUTBOX_ENTRY)?.query_row([transaction.as_str()], |row| {
        let (payment, sender, claims) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(OutboxEntry { payment, sender, claims, in_doubt: row.get(3)? })
    });
    let Some(entry) = entry.optional()? else { return Ok(ReceiptClaim::NotDue) };
    let is_gone = match entry.sender {
        Some(sender) => me.is_gone(db, sender)?,
        None => false,
    };
    let claim = decide(watch, me.id(), transaction, &entry, is_gone);
    if matches!(claim, ReceiptClaim::Yours { .. }) {
        db.prepare_cached(CLAIM_RECEIPT)?.execute(params![entry.payment, me.id()])?;
    }
    Ok(claim)
}

pub(super) fn release_receipt(
    db: &Connection,
    me: i64,
    transaction: &str,
    in_doubt: bool,
) -> Result<(), Fault> {
    db.prepare_cached(RELEASE_RECEIPT)?.execute(params![transaction, me, in_doubt])?;
    Ok(())
}
