//! Events and deliveries, within a transaction.

use rusqlite::{Connection, params};

use super::audit;
use super::fault::Fault;
use super::statements::{
    DELIVERIES, DELIVERY_CLAIMED, DELIVERY_ENDED, DUE, NEW_DELIVERY, NEW_EVENT, PLANNED, REPLAY,
    UNPLANNED,
};
use crate::sql::{
    Change, Delivery, DeliveryQuery, DeliveryTurn, Ended, EventNote, EventRow, NewDelivery,
    delivery_row, event_row, limit, number_of, replayed,
};

pub(super) fn note(db: &Connection, note: &EventNote) -> Result<(), Fault> {
    let EventNote { name, filed_as, kind, subject } = note;
    db.prepare_cached(NEW_EVENT)?.execute(params![name, filed_as.as_str(), kind, subject])?;
    Ok(())
}

pub(super) fn unplanned(db: &Connection, most: i64) -> Result<Vec<EventRow>, Fault> {
    let mut statement = db.prepare_cached(UNPLANNED)?;
    let mut rows = statement.query([most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(event_row(row)?);
    }
    Ok(found)
}

pub(super) fn plan(db: &Connection, event: i64, new: &[NewDelivery]) -> Result<(), Fault> {
    // No row: another process was faster.
    if db.prepare_cached(PLANNED)?.execute([event])? == 1 {
        for NewDelivery { endpoint, body } in new {
            db.prepare_cached(NEW_DELIVERY)?.execute(params![event, endpoint, body])?;
        }
    }
    Ok(())
}

pub(super) fn claim(db: &Connection, most: i64, time: i64) -> Result<Vec<DeliveryTurn>, Fault> {
    let mut due = {
        let mut statement = db.prepare_cached(DUE)?;
        let mut rows = statement.query([most])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            due.push(delivery_row(row)?);
        }
        due
    };
    for turn in &mut due {
        turn.claim += 1;
        let (number, claim) = (number_of(turn.delivery.number), number_of(turn.claim));
        db.prepare_cached(DELIVERY_CLAIMED)?.execute(params![number, claim, time])?;
    }
    Ok(due)
}

pub(super) fn ended(db: &Connection, turn: &DeliveryTurn, end: &Ended) -> Result<bool, Fault> {
    let (number, claim) = (number_of(turn.delivery.number), number_of(turn.claim));
    let ended = params![number, claim, end.state.name(), end.cause, end.after, end.failed];
    Ok(db.prepare_cached(DELIVERY_ENDED)?.execute(ended)? == 1)
}

pub(super) fn list(db: &Connection, query: &DeliveryQuery) -> Result<Vec<Delivery>, Fault> {
    let (state, before) = (query.state.map(|state| state.name()), query.before.map(number_of));
    let mut statement = db.prepare_cached(DELIVERIES)?;
    let mut rows = statement.query(params![query.label, state, before, limit(query.most)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(delivery_row(row)?.delivery);
    }
    Ok(found)
}

pub(super) fn replay(
    db: &Connection,
    me: i64,
    number: i64,
    label: Option<&str>,
) -> Result<bool, Fault> {
    let is_written = db.prepare_cached(REPLAY)?.execute(params![number, label])? == 1;
    if is_written {
        audit::note(db, me, &replayed(number), &Change::DeliveryReplayed)?;
    }
    Ok(is_written)
}
