//! A journal that can fall ill.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::lock;
use level3::journal::{
    Claimed, Journal, JournalError, JournalFuture, Lease, Opened, Record, SagaId, SagaLog,
    Standing, StoreId,
};
use tokio::time::sleep;

/// What is wrong with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illness {
    /// It writes nothing and says that it cannot be reached.
    Unavailable,
    /// It writes, and says that it cannot be reached.
    LosesAnswers,
    /// It answers so much later.
    Slow(Duration),
    /// It never answers.
    Hangs,
    /// Its client's library panics.
    Panics,
    /// It grants each claim at once, and says so later.
    GrantsLate(Duration),
}

/// A journal that can fall ill.
#[derive(Clone)]
pub struct Ill {
    inner: Arc<dyn Journal>,
    illness: Arc<Mutex<Option<Illness>>>,
}

impl Ill {
    pub fn new(inner: Arc<dyn Journal>) -> Self {
        Self { inner, illness: Arc::default() }
    }

    pub fn falls(&self, illness: Option<Illness>) {
        *lock(&self.illness) = illness;
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&'a dyn Journal) -> JournalFuture<'a, T> + Send + 'a,
    ) -> JournalFuture<'a, T> {
        async move {
            let illness = *lock(&self.illness);
            match illness {
                Some(Illness::Unavailable) => Err(JournalError::Unavailable),
                Some(Illness::LosesAnswers) => {
                    let _ = act(self.inner.as_ref()).await;
                    Err(JournalError::Unavailable)
                }
                Some(Illness::Hangs) => std::future::pending().await,
                Some(Illness::Panics) => panic!("a fault of the journal's library"),
                Some(Illness::Slow(time)) => {
                    sleep(time).await;
                    act(self.inner.as_ref()).await
                }
                None | Some(Illness::GrantsLate(_)) => act(self.inner.as_ref()).await,
            }
        }
        .boxed()
    }
}

impl Journal for Ill {
    fn store_id(&self) -> StoreId {
        self.inner.store_id()
    }
    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        self.ask(move |journal| journal.open(saga, first))
    }
    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        let lease = lease.clone();
        self.ask(move |journal| {
            // The lease lives in this closure, and the answer must not borrow it.
            let written = async move { journal.append(&lease, records).await };
            written.boxed()
        })
    }
    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        let illness = *lock(&self.illness);
        self.ask(move |journal| {
            async move {
                let claimed = journal.claim(saga).await;
                if let Some(Illness::GrantsLate(time)) = illness {
                    sleep(time).await;
                }
                claimed
            }
            .boxed()
        })
    }
    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        self.ask(move |journal| journal.read(saga))
    }
    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        self.ask(move |journal| journal.list(standing))
    }
}
