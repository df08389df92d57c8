//! Reads a database without writing to it.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use level3_domain::ids::PaymentId;
use level3_domain::journal::StoreId;
use tokio::sync::Mutex;
use tokio::time::{Duration, timeout};
use tokio_postgres::Client;

use super::address::PostgresAddress;
use super::fault::Fault;
use super::keeper::identity;
use super::session::{Reading, schema};
use super::statements::{COMMIT, Queries, READ, ROLLBACK};
use super::{audit, check, postings, queries};
use crate::sql::{
    Anchor, Asked, Audited, Checked, DeadLetter, Records, Shown, StoreError, TrialBalance, limit,
};

/// A store that is only read: its user may not be allowed to write, or its server is a standby.
pub struct PostgresReader {
    // Held for a transaction, so that the next one begins after it.
    connection: Mutex<Connection>,
    address: PostgresAddress,
    identity: StoreId,
    patience: Duration,
}

struct Connection {
    client: Client,
    queries: Queries,
}

impl std::fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresReader").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PostgresReader {
    /// Connects to a store to read it. Creates and changes nothing: the right to read its tables is
    /// enough.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as for [`PostgresStore::connect_to`](super::PostgresStore::connect_to), and
    /// [`Empty`](StoreError::Empty) if there is no store.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection.
    pub async fn connect(address: PostgresAddress, patience: Duration) -> Result<Self, StoreError> {
        let address = address.within(patience);
        match Self::open(&address).await {
            Ok((connection, identity)) => {
                Ok(Self { connection: Mutex::new(connection), address, identity, patience })
            }
            Err(fault) => Err(address.error(fault)),
        }
    }

    async fn open(address: &PostgresAddress) -> Result<(Connection, StoreId), Fault> {
        let client = address.connect().await?.client;
        let place = &address.place;
        let found = match schema(&client, place).await? {
            0 => return Err(StoreError::Empty { place: place.clone() }.into()),
            // The first schema had no identity.
            1 => Ok(StoreId::unnamed()),
            _ => identity(&client, place).await,
        };
        let queries = Queries::prepare(&client).await.map_err(Fault::from);
        let damaged = |fault: Fault| fault.of_a_store_to_open(place);
        let (identity, queries) = (found.map_err(damaged)?, queries.map_err(damaged)?);
        Ok((Connection { client, queries }, identity))
    }

    /// Checks the whole store: each record, each row and, if the server can, its tables and indexes.
    /// Takes time in proportion to the size of the store; other processes go on writing meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the connection fails. What is wrong with the store is part of the result.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the check.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let identity = self.identity.clone();
        self.ask(|from| check::check(from.client, identity).boxed()).await
    }

    /// Verifies the audit trail from its beginning, compares it with these anchors, and compares the
    /// rows and refunds with it. Takes time in proportion to the trail; other processes go on writing
    /// meanwhile. Returns `None` for a store of a version that had no trail.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the connection fails or the tables cannot be read.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the verification.
    pub async fn audit(&self, anchors: Vec<Anchor>) -> Result<Option<Audited>, StoreError> {
        let identity = self.identity.clone();
        self.ask(|from| async move { audit::verify(from.client, &identity, anchors).await }.boxed())
            .await
    }

    /// Adds up all postings, and compares those of each payment with its row and its refunds. Takes time
    /// in proportion to the store; other processes go on writing meanwhile. Returns `None` for a store of
    /// a version that had no postings.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the connection fails or the tables cannot be read.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the balance.
    pub async fn trial_balance(&self) -> Result<Option<TrialBalance>, StoreError> {
        self.ask(|from| postings::balance(from.client).boxed()).await
    }

    /// Runs queries within one transaction, so that they all see the same state of the store.
    pub(super) async fn ask<T>(
        &self,
        question: impl for<'a> FnOnce(Reading<'a>) -> BoxFuture<'a, Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        let connection = self.connection.lock().await;
        let Connection { client, queries } = &*connection;
        let answer = async {
            client.batch_execute(READ).await?;
            let answer = question(Reading { client, queries }).await;
            let end = if answer.is_ok() { COMMIT } else { ROLLBACK };
            client.batch_execute(end).await?;
            answer
        };
        answer.await.map_err(|fault| self.address.error(fault))
    }

    /// The same with a limit of the time.
    async fn ask_soon<T>(
        &self,
        question: impl for<'a> FnOnce(Reading<'a>) -> BoxFuture<'a, Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        let asked = timeout(self.patience, self.ask(question)).await;
        asked.unwrap_or_else(|_| {
            let why = format!("no answer within {} ms", self.patience.as_millis());
            Err(StoreError::Unreachable { place: self.address.place.clone(), why })
        })
    }
}

impl Records for PostgresReader {
    fn place(&self) -> &str {
        &self.address.place
    }

    fn store_id(&self) -> StoreId {
        self.identity.clone()
    }

    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>> {
        async move {
            self.ask_soon(|from| async move { queries::show(from, &payment).await }.boxed()).await
        }
        .boxed()
    }

    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>> {
        async move { self.ask_soon(|from| queries::dead_letters(from, limit(most)).boxed()).await }
            .boxed()
    }
}
