//! Reports of the provider and disputes, within a transaction.

use level3_domain::ids::PaymentId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit;
use super::events;
use super::fault::Fault;
use super::statements::{
    ARRIVAL, ARRIVAL_FAILED, ARRIVAL_HANDLED, DISPUTE, DISPUTES_OF, NEW_DISPUTE, PAYMENT_OF_INTENT,
    REFUND_FAILED_LATE, UNHANDLED,
};
use crate::sql::{
    Arrival, Change, Dispute, DisputeRow, EventNote, NewArrival, StoreError, arrival_row,
    dispute_event, dispute_row,
};

pub(super) fn take_in(db: &Connection, me: i64, new: &NewArrival) -> Result<bool, Fault> {
    let NewArrival { name, kind, detail } = new;
    let is_new = db.prepare_cached(ARRIVAL)?.execute(params![name, kind, detail])? == 1;
    if is_new {
        audit::note(db, me, name, &Change::ReportTaken { kind: kind.clone() })?;
    }
    Ok(is_new)
}

pub(super) fn unhandled(db: &Connection, most: i64) -> Result<Vec<Arrival>, Fault> {
    let mut statement = db.prepare_cached(UNHANDLED)?;
    let mut rows = statement.query([most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(arrival_row(row)?);
    }
    Ok(found)
}

pub(super) fn handled(db: &Connection, number: i64, outcome: &str) -> Result<(), Fault> {
    db.prepare_cached(ARRIVAL_HANDLED)?.execute(params![number, outcome])?;
    Ok(())
}

pub(super) fn failed(db: &Connection, number: i64, cause: &str) -> Result<(), Fault> {
    db.prepare_cached(ARRIVAL_FAILED)?.execute(params![number, cause])?;
    Ok(())
}

pub(super) fn record_dispute(
    db: &Connection,
    me: i64,
    dispute: &Dispute,
    event: &str,
) -> Result<Option<PaymentId>, Fault> {
    let payment: Option<(i64, String)> = db
        .prepare_cached(PAYMENT_OF_INTENT)?
        .query_row([dispute.intent.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, payment)) = payment else { return Ok(None) };
    let written = db.prepare_cached(NEW_DISPUTE)?.execute(params![
        dispute.id,
        number,
        dispute.amount.minor(),
        dispute.amount.currency().code(),
        dispute.reason,
        dispute.status,
        dispute.is_closed,
        dispute.as_of,
    ])?;
    if written == 0 {
        return Ok(None);
    }
    audit::note(db, me, &dispute.id, &Change::dispute(&payment, dispute))?;
    events::note(db, &dispute_event(event, &payment, dispute))?;
    let payment =
        PaymentId::try_from(payment).map_err(|why| StoreError::unreadable("payment", why))?;
    Ok(Some(payment))
}

pub(super) fn disputes_of(db: &Connection, payment: &PaymentId) -> Result<Vec<DisputeRow>, Fault> {
    let mut statement = db.prepare_cached(DISPUTES_OF)?;
    let mut rows = statement.query([payment.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(dispute_row(row)?);
    }
    Ok(found)
}

pub(super) fn dispute(db: &Connection, id: &str) -> Result<Option<DisputeRow>, Fault> {
    let mut statement = db.prepare_cached(DISPUTE)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(dispute_row).transpose()
}

pub(super) fn refund_failed_late(
    db: &Connection,
    me: i64,
    refund: &str,
    cause: &str,
    note: &EventNote,
) -> Result<bool, Fault> {
    let is_written = db.prepare_cached(REFUND_FAILED_LATE)?.execute(params![refund, cause])? == 1;
    if is_written {
        let failed = Change::RefundFailed { cause: cause.to_owned(), late: true };
        audit::note(db, me, refund, &failed)?;
        events::note(db, note)?;
    }
    Ok(is_written)
}
