//! The audit trail.
//!
//! The operations of a group note their changes in a [`Trail`], and the group writes them at its end,
//! just before the commit: it locks the head, makes the entries after it, and moves it. So the chain
//! costs a group two round trips, and groups of all connections and processes commit one after the
//! other from there on. No operation runs after the head is locked, and writing the entries locks
//! nothing else: a group that waits for the head holds no lock that the group before it still needs.

use std::sync::{Mutex, PoisonError};

use futures::future::try_join;
use level3_domain::journal::StoreId;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::check::each;
use super::fault::Fault;
use super::postings;
use super::session::Session;
use super::statements::{
    AUDIT_HEAD, AUDITED_REFUNDS, AUDITED_ROWS, EVERY_AUDIT, HAS_AUDIT, MISSING_ROWS,
};
use crate::sql::{Anchor, Audited, Auditor, Change, audit_head};

/// The changes of the group that a connection has under way.
#[derive(Debug, Default)]
pub(super) struct Trail {
    // A standard mutex: it is held for a push, and never across an await.
    changes: Mutex<Vec<(String, Change)>>,
}

impl Trail {
    /// Notes a change that the transaction has made.
    pub(super) fn note(&self, subject: &str, change: Change) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push((subject.to_owned(), change));
    }

    /// Returns the changes that were noted since the last call. A group that has failed leaves some.
    pub(super) fn take(&self) -> Vec<(String, Change)> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes the postings and the entries of these changes, at the end of the transaction.
pub(super) async fn write(
    session: &Session,
    instance: i32,
    changes: Vec<(String, Change)>,
) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let Session { client, statements, .. } = session;
    postings::post(session, &changes).await?;
    let mut head = audit_head(&client.query_one(&statements.audit_head, &[]).await?)?;
    let (mut numbers, mut times, mut instances) = (Vec::new(), Vec::new(), Vec::new());
    let (mut subjects, mut bodies, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (subject, change) in changes {
        // NUL is the only character that PostgreSQL's type `text` cannot hold. JSON escapes it.
        let subject = subject.replace('\0', " ");
        let link = head.add(instance.into(), subject, change.encode()?);
        numbers.push(link.seq);
        times.push(link.at);
        instances.push(link.instance);
        subjects.push(link.subject);
        bodies.push(link.body);
        hashes.push(link.hash.to_string());
    }
    let entries: [&(dyn ToSql + Sync); 6] =
        [&numbers, &times, &instances, &subjects, &bodies, &hashes];
    let hash = head.hash.to_string();
    let moved: [&(dyn ToSql + Sync); 2] = [&head.seq, &hash];
    let (entries, moved) = (
        client.execute(&statements.new_audit, &entries),
        client.execute(&statements.move_head, &moved),
    );
    try_join(entries, moved).await?;
    Ok(())
}

/// Verifies the trail; `None` for a store of a version that had none. Within a transaction.
pub(super) async fn verify(
    client: &Client,
    store: &StoreId,
    anchors: Vec<Anchor>,
) -> Result<Option<Audited>, Fault> {
    if !client.query_one(HAS_AUDIT, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let head = audit_head(&client.query_one(AUDIT_HEAD, &[]).await?)?;
    let mut auditor = Auditor::new(store.as_str(), head, anchors);
    each(client, EVERY_AUDIT, |row| auditor.entry(row)).await?;
    auditor.end_of_chain();
    let comparison = &mut auditor.comparison;
    each(client, AUDITED_ROWS, |row| comparison.row(row)).await?;
    each(client, AUDITED_REFUNDS, |row| comparison.refund(row)).await?;
    each(client, MISSING_ROWS, |row| comparison.missing(row)).await?;
    Ok(Some(auditor.end()))
}
