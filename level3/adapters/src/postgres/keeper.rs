//! Shows other processes that this one is alive.

use std::time::Duration;

use level3_domain::journal::StoreId;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::address::PostgresAddress;
use super::fault::Fault;
use super::session::{Known, Session, migrate};
use super::statements::{IDENTITY, LOCK_INSTANCE, NEW_INSTANCE};
use crate::sql::StoreError;

/// How often the lock's connection is checked, and the pause between two attempts to make it again.
const PAUSE: Duration = Duration::from_millis(250);

/// Holds this instance's advisory lock on a connection of its own.
///
/// The server releases the lock when the connection is gone, so the lock says whether the process
/// lives. After an outage of the server, this process takes the lock again as soon as the server is
/// back. Another instance may claim one of its sagas in between. That raises the epoch of the saga,
/// so this process loses the saga, and no payment is made twice.
#[derive(Debug)]
pub(super) struct Keeper {
    known: Known,
    is_exposed: bool,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Updates the schema, gets a number for this process and locks it. Finds tables and columns
    /// that are missing.
    pub(super) async fn start(address: &PostgresAddress) -> Result<Self, Fault> {
        let connected = address.connect().await?;
        if connected.is_exposed {
            tracing::warn!(place = address.place, "the connection is not encrypted");
        }
        migrate(&connected.client, &address.place).await?;
        let damaged = |fault: Fault| fault.of_a_store_to_open(&address.place);
        let Session { client, .. } = Session::prepare(connected.client).await.map_err(damaged)?;
        let identity = identity(&client, &address.place).await.map_err(damaged)?;
        let row = client.query_one(NEW_INSTANCE, &[]).await.map_err(Fault::from);
        let instance: i32 = row.map_err(damaged)?.try_get(0)?;
        client.query(LOCK_INSTANCE, &[&instance]).await?;
        let task = tokio::spawn(keep(address.clone(), instance, client));
        let known = Known { identity, instance };
        Ok(Self { known, is_exposed: connected.is_exposed, task })
    }

    /// The number of this process.
    pub(super) const fn id(&self) -> i32 {
        self.known.instance
    }

    /// The identity of the store.
    pub(super) fn identity(&self) -> StoreId {
        self.known.identity.clone()
    }

    /// The store that later connections have to lead to.
    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    /// Whether the first connection leaves this machine in the clear.
    pub(super) const fn is_exposed(&self) -> bool {
        self.is_exposed
    }
}

/// Reads the identity of a store, of which there is exactly one.
pub(super) async fn identity(client: &Client, place: &str) -> Result<StoreId, Fault> {
    let rows = client.query(IDENTITY, &[]).await?;
    let [row] = rows.as_slice() else {
        let why = format!("it has {} identities instead of one", rows.len());
        return Err(StoreError::Damaged { place: place.to_owned(), why }.into());
    };
    Ok(StoreId::new(row.try_get(0)?))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(address: PostgresAddress, id: i32, mut client: Client) {
    loop {
        while !client.is_closed() {
            sleep(PAUSE).await;
        }
        tracing::warn!(place = address.place, "the connection was lost");
        client = loop {
            sleep(PAUSE).await;
            match lock(&address, id).await {
                Ok(client) => break client,
                Err(fault) => tracing::debug!(error = %fault.at(&address.place), "not back yet"),
            }
        };
        tracing::info!(place = address.place, "connected again");
    }
}

async fn lock(address: &PostgresAddress, id: i32) -> Result<Client, Fault> {
    let client = address.connect().await?.client;
    client.query(LOCK_INSTANCE, &[&id]).await?;
    Ok(client)
}
