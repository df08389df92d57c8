//! Shows other processes that this one is alive.

use std::time::Duration;

use level3_domain::journal::StoreId;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::fault::Fault;
use super::session::{Address, migrate};
use super::statements::{IDENTITY, LOCK_INSTANCE, NEW_INSTANCE};

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
    id: i32,
    identity: StoreId,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Updates the schema, gets a number for this process and locks it.
    pub(super) async fn start(address: &Address) -> Result<Self, Fault> {
        let client = address.connect().await?;
        migrate(&client, &address.place).await?;
        let identity: String = client.query_one(IDENTITY, &[]).await?.try_get(0)?;
        let id: i32 = client.query_one(NEW_INSTANCE, &[]).await?.try_get(0)?;
        client.query(LOCK_INSTANCE, &[&id]).await?;
        let task = tokio::spawn(keep(address.clone(), id, client));
        Ok(Self { id, identity: StoreId::new(&identity), task })
    }

    pub(super) const fn id(&self) -> i32 {
        self.id
    }

    /// The identity of the store.
    pub(super) fn identity(&self) -> StoreId {
        self.identity.clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(address: Address, id: i32, mut client: Client) {
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

async fn lock(address: &Address, id: i32) -> Result<Client, Fault> {
    let client = address.connect().await?;
    client.query(LOCK_INSTANCE, &[&id]).await?;
    Ok(client)
}
