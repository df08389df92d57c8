//! The journal as seen by a process that can die.

use futures::FutureExt as _;
use level3_domain::journal::{
    Claimed, Journal, JournalFuture, Lease, MemoryJournal, Opened, Record, SagaId, SagaLog,
    Standing, StoreId,
};

use crate::Process;

/// A [`MemoryJournal`] on the far side of a process that can die: see [`Process`].
#[derive(Debug, Clone)]
pub struct MortalJournal {
    inner: MemoryJournal,
    process: Process,
}

impl MortalJournal {
    /// Makes the journal that `process` sees. Its records are in `journal`, and stay there when it dies.
    #[must_use]
    pub fn new(journal: &MemoryJournal, process: &Process) -> Self {
        Self { inner: journal.clone(), process: process.clone() }
    }

    fn guarded<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&'a MemoryJournal) -> JournalFuture<'a, T> + Send + 'a,
    ) -> JournalFuture<'a, T> {
        async move {
            let action = self.process.begin().await;
            let reply = act(&self.inner).await;
            self.process.end(action).await;
            reply
        }
        .boxed()
    }
}

impl Journal for MortalJournal {
    fn store_id(&self) -> StoreId {
        self.inner.store_id()
    }

    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        self.guarded(move |journal| journal.open(saga, first))
    }

    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        let lease = lease.clone();
        self.guarded(move |journal| journal.append(&lease, records))
    }

    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        self.guarded(move |journal| journal.claim(saga))
    }

    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        self.guarded(move |journal| journal.read(saga))
    }

    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        self.guarded(move |journal| journal.list(standing))
    }
}
