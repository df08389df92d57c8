//! One connection with its statements, and the schema.

use level3_domain::journal::StoreId;
use tokio_postgres::Client;

use super::address::PostgresAddress;
use super::audit::Trail;
use super::fault::Fault;
use super::statements::{
    BEGIN, COMMIT, IS_THE_SAME, LOCK_SCHEMA, MAKE_MIGRATIONS, MIGRATED, MIGRATIONS, Queries,
    SCHEMA, Statements, TABLES,
};
use crate::sql::StoreError;

/// A connection with its statements.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
    /// The changes of the transaction that is under way.
    pub(super) trail: Trail,
    queries: Queries,
}

/// A connection to read from.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) client: &'a Client,
    pub(super) queries: &'a Queries,
}

/// A store that a connection has to lead to: its identity, and a number that it has given away.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) identity: StoreId,
    pub(super) instance: i32,
}

impl Session {
    /// Connects. The address may lead to another store by now: that of a new server, a new database,
    /// or a backup of the old one.
    pub(super) async fn connect(address: &PostgresAddress, known: &Known) -> Result<Self, Fault> {
        let connected = address.connect().await.map_err(Fault::of_a_store_in_use)?;
        let session = Self::prepare(connected.client).await.map_err(Fault::of_a_store_in_use)?;
        known.check(&session.client).await?;
        Ok(session)
    }

    /// Prepares the statements, which fails if a table or a column is missing.
    pub(super) async fn prepare(client: Client) -> Result<Self, Fault> {
        let statements = Statements::prepare(&client).await?;
        let queries = Queries::prepare(&client).await?;
        Ok(Self { client, statements, trail: Trail::default(), queries })
    }

    pub(super) const fn reading(&self) -> Reading<'_> {
        Reading { client: &self.client, queries: &self.queries }
    }
}

impl Known {
    /// Fails if the tables are those of another store. Other processes can delete and create them
    /// while the connection is open.
    pub(super) async fn still_there(&self, session: &Session) -> Result<(), Fault> {
        let is_ours = &session.statements.is_ours;
        let found = session.client.query_opt(is_ours, &[&self.identity.as_str()]).await?;
        if found.is_some() { Ok(()) } else { Err(Fault::Gone) }
    }

    /// Fails if the connection leads to another store, or to an earlier state of this one.
    async fn check(&self, client: &Client) -> Result<(), Fault> {
        let same = client.query_one(IS_THE_SAME, &[&self.identity.as_str(), &self.instance]).await;
        let is_the_same: bool = same.map_err(Fault::from)?.try_get(0)?;
        if is_the_same { Ok(()) } else { Err(Fault::Gone) }
    }
}

/// Updates the schema in one transaction. Two processes that start at the same time do it one after
/// the other.
pub(super) async fn migrate(client: &Client, place: &str) -> Result<(), Fault> {
    client.batch_execute(BEGIN).await?;
    client.query(LOCK_SCHEMA, &[]).await?;
    let found = schema(client, place).await?;
    if found == 0 {
        client.batch_execute(MAKE_MIGRATIONS).await?;
    }
    for (version, text) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        client.batch_execute(text).await?;
        client.execute(MIGRATED, &[&version]).await?;
    }
    client.batch_execute(COMMIT).await?;
    Ok(())
}

/// Returns the version of the schema; 0 if there is none.
pub(super) async fn schema(client: &Client, place: &str) -> Result<i64, Fault> {
    let tables = client.query_one(TABLES, &[]).await?;
    let found = match (tables.try_get::<_, i64>(0)?, tables.try_get::<_, i64>(1)?) {
        (0, 0) => 0,
        (0, _) => return Err(StoreError::Foreign { place: place.to_owned() }.into()),
        _ => client.query_one(SCHEMA, &[]).await?.try_get(0)?,
    };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { place: place.to_owned(), found, known }.into());
    }
    Ok(found)
}
