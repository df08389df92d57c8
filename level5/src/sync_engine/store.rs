//! Where an engine keeps its records from one run to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::conflict::{Record, Resolved, Stamp};

use super::lock;
use super::record::RecordId;

/// Why a store has failed, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed: {0}")]
pub struct StoreError(pub String);

/// All that an engine knows of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The record.
    pub id: RecordId,
    /// The newest record of each source. Deletions are among them: without them, an older record that arrives after
    /// the restart would undo a deletion.
    pub records: Vec<Record>,
    /// The versions, the oldest first; the last one counts.
    pub history: Vec<Resolved>,
    /// Whether the records are in a conflict that is not decided yet.
    pub open: bool,
    /// The stamps that were held, as their sources wrote them.
    pub held: Vec<Stamp>,
}

/// Where an engine keeps its records from one run to the next.
///
/// A save is the whole state of a record, not a difference: it may be repeated, and the last one counts.
pub trait Store: Send + Sync + 'static {
    /// Reads all that was saved, in any order.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] if it could not be read. The engine does not start.
    fn load(&self) -> impl Future<Output = Result<Vec<Saved>, StoreError>> + Send;

    /// Replaces what is saved of these records: of all of them or of none.
    ///
    /// The engine has at most one save under way.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] if nothing was saved. The engine tries again.
    ///
    /// # Cancellation
    ///
    /// The engine may drop the future. It saves the same records again, unless it was dropped itself.
    fn save(&self, batch: Vec<Saved>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A store in memory. Its clones share what is saved, so that an engine can continue where another one has stopped.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    saved: Arc<Mutex<BTreeMap<RecordId, Saved>>>,
}

impl MemoryStore {
    /// A store without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    async fn load(&self) -> Result<Vec<Saved>, StoreError> {
        Ok(lock(&self.saved).values().cloned().collect())
    }

    async fn save(&self, batch: Vec<Saved>) -> Result<(), StoreError> {
        let batch = batch.into_iter().map(|saved| (saved.id.clone(), saved));
        lock(&self.saved).extend(batch);
        Ok(())
    }
}

/// A [`Store`] of any type, with boxed futures, so that the engine's type has no parameter for it.
pub(super) trait AnyStore: Send + Sync {
    fn save(&self, batch: Vec<Saved>) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<S: Store> AnyStore for S {
    fn save(&self, batch: Vec<Saved>) -> BoxFuture<'_, Result<(), StoreError>> {
        // The store is called within the future, so that the guard of the engine also catches a panic before the
        // store's own future exists.
        async move { Store::save(self, batch).await }.boxed()
    }
}
