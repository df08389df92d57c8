//! The journal's operations within a transaction.

use level3_domain::journal::{Claimed, Lease, Opened, SagaId, SagaLog, Standing};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit;
use super::fault::Fault;
use super::presence::Presence;
use super::statements::{
    APPEND, CLAIM, FIRST, LIST_ENDED, LIST_UNFINISHED, OPEN, RECORDS, SAGA, STAND,
};
use crate::sql::{Change, Mark, StoreError, Turn, Watch, decode, standing};

/// A saga's row, and the number of its last entry.
pub(super) struct SagaRow {
    pub(super) number: i64,
    pub(super) mark: Mark,
    pub(super) standing: Standing,
    pub(super) owner: i64,
}

pub(super) fn saga(db: &Connection, saga: &str) -> Result<Option<SagaRow>, Fault> {
    let row = db.prepare_cached(SAGA)?.query_row([saga], |row| {
        let mark = Mark { epoch: row.get(1)?, seq: row.get(4)? };
        Ok((row.get(0)?, mark, row.get::<_, String>(2)?, row.get(3)?))
    });
    let Some((number, mark, name, owner)) = row.optional()? else { return Ok(None) };
    Ok(Some(SagaRow { number, mark, standing: standing(&name)?, owner }))
}

fn saga_log(db: &Connection, row: &SagaRow) -> Result<SagaLog, Fault> {
    let mut records = Vec::new();
    let mut statement = db.prepare_cached(RECORDS)?;
    let mut rows = statement.query([row.number])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_str().map_err(|why| StoreError::unreadable("record", why))?;
        records.extend(decode(body)?);
    }
    Ok(SagaLog { standing: row.standing, records: records.into() })
}

pub(super) fn open(
    db: &Connection,
    owner: i64,
    saga_id: &SagaId,
    kind: &str,
    body: &str,
    label: Option<&str>,
) -> Result<Opened, Fault> {
    let number: Option<i64> = db
        .prepare_cached(OPEN)?
        .query_row(params![saga_id.as_str(), kind, owner, label], |row| row.get(0))
        .optional()?;
    let Some(number) = number else {
        // The insert has found a row of this saga.
        return Ok(Opened::Known(read(db, saga_id)?.ok_or_else(|| gone("saga"))?));
    };
    db.prepare_cached(FIRST)?.execute(params![number, body])?;
    let begun = Change::SagaBegun { kind: kind.to_owned(), label: label.map(str::to_owned) };
    audit::note(db, owner, saga_id.as_str(), &begun)?;
    Ok(Opened::New(Lease { saga: saga_id.clone(), epoch: 1 }))
}

/// Returns whether the lease was the latest one.
pub(super) fn append(
    db: &Connection,
    saga: &str,
    epoch: i64,
    body: &str,
    stands: Option<&(Standing, Change)>,
    me: i64,
) -> Result<bool, Fault> {
    let written = db.prepare_cached(APPEND)?.execute(params![saga, epoch, body])?;
    if written == 0 {
        return Ok(false);
    }
    if let Some((stands, change)) = stands {
        db.prepare_cached(STAND)?.execute(params![saga, stands.name()])?;
        audit::note(db, me, saga, change)?;
    }
    Ok(true)
}

pub(super) fn claim(
    db: &Connection,
    watch: &Watch,
    me: &Presence,
    saga_id: &SagaId,
) -> Result<Claimed, Fault> {
    let Some(mut row) = saga(db, saga_id.as_str())? else { return Ok(Claimed::Unknown) };
    let is_gone = row.standing == Standing::Open && me.is_gone(db, row.owner)?;
    match watch.turn(saga_id, row.standing, row.mark, is_gone) {
        Turn::Over => Ok(Claimed::Ended(saga_log(db, &row)?)),
        Turn::Busy(remaining) => Ok(Claimed::Busy { remaining }),
        Turn::Yours => {
            let claimed = params![saga_id.as_str(), me.id()];
            let epoch: i64 = db.prepare_cached(CLAIM)?.query_row(claimed, |row| row.get(0))?;
            audit::note(db, me.id(), saga_id.as_str(), &Change::SagaClaimed { epoch })?;
            let epoch = u64::try_from(epoch).map_err(|why| StoreError::unreadable("epoch", why))?;
            row.standing = Standing::Open;
            let lease = Lease { saga: saga_id.clone(), epoch };
            Ok(Claimed::Acquired(lease, saga_log(db, &row)?))
        }
    }
}

pub(super) fn read(db: &Connection, saga_id: &SagaId) -> Result<Option<SagaLog>, Fault> {
    saga(db, saga_id.as_str())?.map(|row| saga_log(db, &row)).transpose()
}

pub(super) fn list(db: &Connection, standing: Standing, most: i64) -> Result<Vec<SagaId>, Fault> {
    let text = if standing == Standing::Ended { LIST_ENDED } else { LIST_UNFINISHED };
    let mut statement = db.prepare_cached(text)?;
    let names =
        statement.query_map(params![standing.name(), most], |row| row.get::<_, String>(0))?;
    Ok(names.map(|name| name.map(SagaId::from)).collect::<Result<_, _>>()?)
}

fn gone(what: &'static str) -> StoreError {
    StoreError::unreadable(what, "it exists and does not exist within one transaction")
}
