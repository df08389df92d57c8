//! A journal in memory: it outlives a gateway, but not the process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use super::{
    Claimed, Journal, JournalError, JournalFuture, Lease, Opened, Record, SagaId, SagaLog,
    Standing, StoreId,
};

/// How long an owner may be silent before its saga can be claimed. Longer than any single step of a
/// payment together with the longest wait between two attempts to undo one.
pub const LEASE: Duration = Duration::from_secs(20);

/// Keeps everything in memory, for tests and as the model of what other journals have to do.
///
/// Cheap to clone; clones share their records. A gateway that is dropped leaves its records here
/// for the next one.
#[derive(Clone)]
pub struct MemoryJournal {
    store: StoreId,
    state: Arc<Mutex<Sagas>>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::of(StoreId::unnamed())
    }
}

#[derive(Default)]
struct Sagas {
    sagas: HashMap<SagaId, StoredSaga>,
    order: u64,
}

struct StoredSaga {
    order: u64,
    epoch: u64,
    renewed: Instant,
    standing: Standing,
    records: Vec<Record>,
}

impl StoredSaga {
    fn saga_log(&self) -> SagaLog {
        SagaLog { standing: self.standing, records: self.records.as_slice().into() }
    }

    fn add(&mut self, records: Vec<Record>) {
        for record in &records {
            match record {
                Record::Parked => self.standing = Standing::Parked,
                Record::Completed | Record::Compensated => self.standing = Standing::Ended,
                _ => {}
            }
        }
        self.records.extend(records);
        self.renewed = Instant::now();
    }
}

impl MemoryJournal {
    /// Makes a journal without sagas and [without an identity](StoreId::unnamed): for a process
    /// whose payment provider ends with it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a journal without sagas, with this identity.
    #[must_use]
    pub fn of(store: StoreId) -> Self {
        Self { store, state: Arc::default() }
    }

    /// Returns the number of sagas with this status.
    #[must_use]
    pub fn count(&self, standing: Standing) -> usize {
        self.lock().sagas.values().filter(|kept| kept.standing == standing).count()
    }

    fn lock(&self) -> MutexGuard<'_, Sagas> {
        // No operation under the lock panics half way, so the data behind a poisoned lock is
        // complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_now(&self, saga: SagaId, first: Record) -> Opened {
        let mut state = self.lock();
        state.order += 1;
        let order = state.order;
        match state.sagas.entry(saga) {
            Entry::Occupied(kept) => Opened::Known(kept.get().saga_log()),
            Entry::Vacant(place) => {
                let lease = Lease { saga: place.key().clone(), epoch: 1 };
                place.insert(StoredSaga {
                    order,
                    epoch: 1,
                    renewed: Instant::now(),
                    standing: Standing::Open,
                    // A successful payment writes about ten.
                    records: {
                        let mut records = Vec::with_capacity(12);
                        records.push(first);
                        records
                    },
                });
                Opened::New(lease)
            }
        }
    }

    fn append_now(&self, lease: &Lease, records: Vec<Record>) -> Result<(), JournalError> {
        match self.lock().sagas.get_mut(&lease.saga) {
            Some(kept) if kept.epoch == lease.epoch => {
                kept.add(records);
                Ok(())
            }
            _ => Err(JournalError::Fenced),
        }
    }

    fn claim_now(&self, saga: SagaId) -> Claimed {
        let mut state = self.lock();
        let Some(kept) = state.sagas.get_mut(&saga) else { return Claimed::Unknown };
        let silent = kept.renewed.elapsed();
        match kept.standing {
            Standing::Ended => Claimed::Ended(kept.saga_log()),
            // The owner of a parked saga has released it.
            Standing::Open if silent < LEASE => Claimed::Busy { remaining: LEASE - silent },
            Standing::Open | Standing::Parked => {
                kept.epoch += 1;
                kept.renewed = Instant::now();
                kept.standing = Standing::Open;
                Claimed::Acquired(Lease { saga, epoch: kept.epoch }, kept.saga_log())
            }
        }
    }

    fn list_now(&self, standing: Standing) -> Vec<SagaId> {
        let state = self.lock();
        let mut found: Vec<_> =
            state.sagas.iter().filter(|(_, kept)| kept.standing == standing).collect();
        found.sort_unstable_by_key(|(_, kept)| kept.order);
        found.into_iter().map(|(saga, _)| saga.clone()).collect()
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJournal").field("sagas", &self.lock().sagas.len()).finish()
    }
}

impl Journal for MemoryJournal {
    fn store_id(&self) -> StoreId {
        self.store.clone()
    }

    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        std::future::ready(Ok(self.open_now(saga, first))).boxed()
    }

    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        std::future::ready(self.append_now(lease, records)).boxed()
    }

    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        std::future::ready(Ok(self.claim_now(saga))).boxed()
    }

    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        std::future::ready(Ok(self.lock().sagas.get(&saga).map(StoredSaga::saga_log))).boxed()
    }

    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        std::future::ready(Ok(self.list_now(standing))).boxed()
    }
}
