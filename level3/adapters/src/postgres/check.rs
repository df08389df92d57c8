//! The full check of a database.

use std::pin::pin;

use futures::TryStreamExt as _;
use level3_domain::journal::StoreId;
use tokio_postgres::{Client, Row};

use super::fault::Fault;
use super::statements::{
    CHECK_INDEX, CHECK_TABLE, EVERY_ENTRY, EVERY_REFUND, EVERY_ROW, HAS_AMCHECK, HAS_CHECKSUMS,
    HAS_REFUNDS, INDEXES, PART, PART_DONE, PART_FAILED, TABLES_TO_CHECK,
};
use crate::sql::{Checked, Checker};

/// Reads every record and row and, where the server can, checks its indexes and tables. Within a
/// transaction.
pub(super) async fn check(client: &Client, store: StoreId) -> Result<Checked, Fault> {
    let mut checker = Checker::new(store);
    client.batch_execute(PART).await?;
    let outcome = each(client, EVERY_ENTRY, |row| checker.entry(row)).await;
    settle(client, &mut checker, "journal", outcome).await?;
    let outcome = each(client, EVERY_ROW, |row| checker.row(row)).await;
    settle(client, &mut checker, "payments", outcome).await?;
    // A store of an earlier version has no refunds.
    if client.query_one(HAS_REFUNDS, &[]).await?.try_get(0)? {
        let outcome = each(client, EVERY_REFUND, |row| checker.refunds(row)).await;
        settle(client, &mut checker, "refunds", outcome).await?;
    }
    structure(client, &mut checker).await?;
    let has_checksums: bool = client.query_one(HAS_CHECKSUMS, &[]).await?.try_get(0)?;
    if !has_checksums {
        checker.unchecked(
            "changed bytes within a page: this server keeps no checksums (pg_checksums turns them on)",
        );
    }
    Ok(checker.end())
}

/// A part that cannot be read is a fault, and the next part is still read. Begins the next
/// part.
async fn settle(
    client: &Client,
    checker: &mut Checker,
    part: &str,
    outcome: Result<(), Fault>,
) -> Result<(), Fault> {
    match outcome {
        Ok(()) => client.batch_execute(PART_DONE).await?,
        Err(fault) if fault.is_lost() => return Err(fault),
        Err(fault) => {
            checker.fault(part, fault.to_string());
            client.batch_execute(PART_FAILED).await?;
        }
    }
    Ok(())
}

/// Reads the rows as they come: a store may be larger than the memory.
pub(super) async fn each(
    client: &Client,
    text: &str,
    mut look: impl FnMut(&Row) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rows = pin!(client.query_raw(text, Vec::<&str>::new()).await?);
    while let Some(row) = rows.try_next().await? {
        look(&row)?;
    }
    Ok(())
}

/// Lets the server check the indexes and tables, with its extension `amcheck`.
async fn structure(client: &Client, checker: &mut Checker) -> Result<(), Fault> {
    let may_check: bool = client.query_one(HAS_AMCHECK, &[]).await?.try_get(0)?;
    if !may_check {
        checker.unchecked(
            "the structure of tables and indexes: it needs the extension amcheck in the database \
             (CREATE EXTENSION amcheck), and the right to call it",
        );
        return Ok(());
    }
    for row in client.query(INDEXES, &[]).await? {
        let (index, name): (u32, String) = (row.try_get(0)?, row.try_get(1)?);
        let outcome = client.execute(CHECK_INDEX, &[&index]).await;
        settle(client, checker, &name, outcome.map(drop).map_err(Fault::from)).await?;
    }
    for row in client.query(TABLES_TO_CHECK, &[]).await? {
        let (table, name): (u32, String) = (row.try_get(0)?, row.try_get(1)?);
        let outcome = async {
            for row in client.query(CHECK_TABLE, &[&table]).await? {
                checker.fault(&name, row.try_get::<_, String>(0)?);
            }
            Ok(())
        };
        let outcome = outcome.await;
        settle(client, checker, &name, outcome).await?;
    }
    Ok(())
}
