//! The audit trail. Only one transaction of a file writes at a time, so the head that [`note`] reads is
//! still the last entry when it writes the next one.

use level3_domain::journal::StoreId;
use rusqlite::{Connection, params};

use super::check::each;
use super::fault::Fault;
use super::postings;
use super::statements::{
    AUDIT_HEAD, AUDITED_REFUNDS, AUDITED_ROWS, EVERY_AUDIT, HAS_AUDIT, MISSING_ROWS, MOVE_HEAD,
    NEW_AUDIT,
};
use crate::sql::{Anchor, Audited, Auditor, Change, Head, Link, audit_head};

/// Writes an entry and, for a change that moves money, its posting, within the transaction of the change.
pub(super) fn note(db: &Connection, me: i64, subject: &str, change: &Change) -> Result<(), Fault> {
    let mut head = head(db)?;
    let Link { seq, at, instance, subject, body, hash } =
        head.add(me, subject.to_owned(), change.encode()?);
    let hash = hash.to_string();
    db.prepare_cached(NEW_AUDIT)?.execute(params![seq, at, instance, subject, body, hash])?;
    db.prepare_cached(MOVE_HEAD)?.execute(params![seq, hash])?;
    postings::post(db, &subject, change)
}

fn head(db: &Connection) -> Result<Head, Fault> {
    let mut statement = db.prepare_cached(AUDIT_HEAD)?;
    let mut rows = statement.query(())?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    audit_head(row)
}

/// Verifies the trail; `None` for a store of a version that had none.
pub(super) fn verify(
    db: &Connection,
    store: &StoreId,
    anchors: Vec<Anchor>,
) -> Result<Option<Audited>, Fault> {
    if !db.prepare(HAS_AUDIT)?.exists(())? {
        return Ok(None);
    }
    let mut auditor = Auditor::new(store.as_str(), head(db)?, anchors);
    each(db, EVERY_AUDIT, |row| auditor.entry(row))?;
    auditor.end_of_chain();
    let comparison = &mut auditor.comparison;
    each(db, AUDITED_ROWS, |row| comparison.row(row))?;
    each(db, AUDITED_REFUNDS, |row| comparison.refund(row))?;
    each(db, MISSING_ROWS, |row| comparison.missing(row))?;
    Ok(Some(auditor.end()))
}
