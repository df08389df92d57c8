//! Refunds, within a transaction. Only one transaction of a file writes at a time, so the sum that
//! [`begin`] reads is still right when it writes.

use level3_domain::ids::PaymentId;
use level3_domain::refund::RefundId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit;
use super::fault::Fault;
use super::presence::Presence;
use super::statements::{
    CHARGED, NEW_REFUND, OPEN_REFUNDS, REFUND, REFUND_ATTEMPTED, REFUND_CLAIMED, REFUND_SETTLED,
    REFUNDS_OF,
};
use crate::sql::{
    Change, Charged, Claimable, NewRefund, RefundBegun, RefundClaim, RefundOutcome, RefundRow,
    RefundState, RefundTurn, StoreError, Watch, claim_number, refund_amount, refund_row,
};

fn find(db: &Connection, refund: &RefundId) -> Result<Option<Claimable>, Fault> {
    let mut statement = db.prepare_cached(REFUND)?;
    let mut rows = statement.query([refund.as_str()])?;
    rows.next()?.map(refund_row).transpose()
}

pub(super) fn begin(db: &Connection, me: i64, new: &NewRefund) -> Result<RefundBegun, Fault> {
    if let Some(known) = find(db, &new.refund)? {
        return Ok(RefundBegun::Known(known.row));
    }
    let charged = db.prepare_cached(CHARGED)?.query_row([new.payment.as_str()], |row| {
        let (number, is_completed) = (row.get(0)?, row.get(1)?);
        Ok(Charged { number, is_completed, minor: row.get(2)?, given: row.get(3)? })
    });
    let charged = charged.optional()?;
    let amount = match refund_amount(charged.as_ref(), new.asked) {
        Ok(amount) => amount,
        Err(refusal) => return Ok(RefundBegun::Refused(refusal)),
    };
    let number = charged.map(|charged| charged.number);
    db.prepare_cached(NEW_REFUND)?.execute(params![
        new.refund.as_str(),
        number,
        new.asked,
        amount,
        me
    ])?;
    let begun = find(db, &new.refund)?;
    let begun = begun.ok_or_else(|| StoreError::unreadable("refund", "it was just written"))?;
    let change = Change::refund(new.payment.as_str(), &begun.row.amount);
    audit::note(db, me, new.refund.as_str(), &change)?;
    Ok(RefundBegun::New(RefundTurn { row: begun.row, claim: 1 }))
}

pub(super) fn claim(
    db: &Connection,
    watch: &Watch,
    me: &Presence,
    refund: &RefundId,
) -> Result<RefundClaim, Fault> {
    let Some(found) = find(db, refund)? else { return Ok(RefundClaim::Unknown) };
    let is_gone = match found.owner {
        Some(owner) => me.is_gone(db, owner)?,
        None => false,
    };
    let claim = found.decide(watch, me.id(), is_gone);
    if let RefundClaim::Yours(turn) = &claim {
        let claimed = params![refund.as_str(), me.id(), claim_number(turn)];
        db.prepare_cached(REFUND_CLAIMED)?.execute(claimed)?;
    }
    Ok(claim)
}

pub(super) fn attempted(
    db: &Connection,
    turn: &RefundTurn,
    generation: u32,
    cause: &str,
    release: bool,
) -> Result<bool, Fault> {
    let (name, claim) = (turn.row.refund.as_str(), claim_number(turn));
    let attempted = params![name, claim, generation, cause, release];
    Ok(db.prepare_cached(REFUND_ATTEMPTED)?.execute(attempted)? == 1)
}

pub(super) fn settle(
    db: &Connection,
    me: i64,
    turn: &RefundTurn,
    outcome: &RefundOutcome,
) -> Result<bool, Fault> {
    let (state, provider, cause) = match outcome {
        RefundOutcome::Succeeded(provider) => (RefundState::Succeeded, Some(provider), None),
        RefundOutcome::Failed(cause) => (RefundState::Failed, None, Some(cause)),
    };
    let (name, claim) = (turn.row.refund.as_str(), claim_number(turn));
    let settled = params![name, claim, state.name(), provider, cause];
    let is_written = db.prepare_cached(REFUND_SETTLED)?.execute(settled)? == 1;
    if is_written {
        audit::note(db, me, name, &Change::settled(outcome))?;
    }
    Ok(is_written)
}

pub(super) fn show(db: &Connection, refund: &RefundId) -> Result<Option<RefundRow>, Fault> {
    Ok(find(db, refund)?.map(|found| found.row))
}

pub(super) fn of(db: &Connection, payment: &PaymentId) -> Result<Vec<RefundRow>, Fault> {
    let mut statement = db.prepare_cached(REFUNDS_OF)?;
    let mut rows = statement.query([payment.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(refund_row(row)?.row);
    }
    Ok(found)
}

pub(super) fn open(db: &Connection, most: i64) -> Result<Vec<RefundId>, Fault> {
    let mut statement = db.prepare_cached(OPEN_REFUNDS)?;
    let names = statement.query_map([most], |row| row.get::<_, String>(0))?;
    let read = |name: rusqlite::Result<String>| {
        RefundId::try_from(name?).map_err(|why| StoreError::unreadable("refund", why).into())
    };
    names.map(read).collect()
}
