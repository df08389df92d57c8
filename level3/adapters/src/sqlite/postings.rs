//! Double-entry postings, within the transaction of the change that they are about.

use rusqlite::{Connection, params};

use super::check::each;
use super::fault::Fault;
use super::statements::{HAS_POSTINGS, POST_PAYMENT, POST_REFUND};
use crate::sql::postings::statements::{ACCOUNTS, ORPHANS, POSTED, UNBALANCED};
use crate::sql::{Balancer, Change, Posting, TrialBalance};

/// Writes the posting of a change of this payment or refund, if it moves money.
pub(super) fn post(db: &Connection, subject: &str, change: &Change) -> Result<(), Fault> {
    let Some(Posting { reason, is_of_refund, debit, credit }) = Posting::of(change) else {
        return Ok(());
    };
    let text = if is_of_refund { POST_REFUND } else { POST_PAYMENT };
    db.prepare_cached(text)?.execute(params![subject, reason, debit.name(), credit.name()])?;
    Ok(())
}

/// Adds everything up; `None` for a store of a version that had no postings.
pub(super) fn balance(db: &Connection) -> Result<Option<TrialBalance>, Fault> {
    if !db.prepare(HAS_POSTINGS)?.exists(())? {
        return Ok(None);
    }
    let mut balancer = Balancer::default();
    each(db, ACCOUNTS, |row| balancer.account(row))?;
    each(db, UNBALANCED, |row| balancer.unbalanced(row))?;
    each(db, POSTED, |row| balancer.payment(row))?;
    each(db, ORPHANS, |row| balancer.orphan(row))?;
    Ok(Some(balancer.end()))
}
