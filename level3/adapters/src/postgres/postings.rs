//! Double-entry postings.

use futures::future::try_join_all;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::check::each;
use super::fault::Fault;
use super::session::Session;
use super::statements::HAS_POSTINGS;
use crate::sql::postings::statements::{ACCOUNTS, ORPHANS, POSTED, UNBALANCED};
use crate::sql::{Balancer, Change, Posting, TrialBalance};

/// Writes the postings of these changes, each with its payment or refund, at the end of their
/// transaction. They refer to no other table, so that they wait for no lock of a payment.
pub(super) async fn post(session: &Session, changes: &[(String, Change)]) -> Result<(), Fault> {
    let Session { client, statements, .. } = session;
    let posted = changes.iter().filter_map(|(subject, change)| {
        let Posting { reason, is_of_refund, debit, credit } = Posting::of(change)?;
        let statement =
            if is_of_refund { &statements.post_refund } else { &statements.post_payment };
        Some(async move {
            let (debit, credit) = (debit.name(), credit.name());
            let lines: [&(dyn ToSql + Sync); 4] = [subject, &reason, &debit, &credit];
            client.execute(statement, &lines).await
        })
    });
    try_join_all(posted).await?;
    Ok(())
}

/// Adds everything up; `None` for a store of a version that had no postings. Within a transaction.
pub(super) async fn balance(client: &Client) -> Result<Option<TrialBalance>, Fault> {
    if !client.query_one(HAS_POSTINGS, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let mut balancer = Balancer::default();
    each(client, ACCOUNTS, |row| balancer.account(row)).await?;
    each(client, UNBALANCED, |row| balancer.unbalanced(row)).await?;
    each(client, POSTED, |row| balancer.payment(row)).await?;
    each(client, ORPHANS, |row| balancer.orphan(row)).await?;
    Ok(Some(balancer.end()))
}
