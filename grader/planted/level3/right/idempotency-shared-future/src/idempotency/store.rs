//! The store as a map of shared futures.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, ready};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, IdempotencyError, Key, StoreConfig};

type Pending<V, E> = Shared<BoxFuture<'static, Result<V, IdempotencyError<E>>>>;

struct Entry<P, V, E> {
    params: P,
    answered: Option<Instant>,
    pending: Pending<V, E>,
}

type Entries<P, V, E> = Mutex<HashMap<Key, Entry<P, V, E>>>;

/// Remembers what was answered to which key.
pub struct Store<P, V, E> {
    config: StoreConfig,
    entries: Arc<Entries<P, V, E>>,
}

impl<P, V, E> Clone for Store<P, V, E> {
    fn clone(&self) -> Self {
        Self { config: self.config, entries: Arc::clone(&self.entries) }
    }
}

impl<P, V, E> fmt::Debug for Store<P, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl<P, V, E> Store<P, V, E>
where
    P: PartialEq + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self { config, entries: Arc::default() }
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<Key, Entry<P, V, E>>> {
        let mut entries = self.entries.lock().expect("nothing panics under the lock");
        let retention = self.config.retention;
        entries.retain(|_, entry| entry.answered.is_none_or(|at| at.elapsed() < retention));
        entries
    }

    /// Looks a key up.
    fn known(
        &self,
        entries: &HashMap<Key, Entry<P, V, E>>,
        key: &Key,
        params: &P,
    ) -> Result<Option<Pending<V, E>>, IdempotencyError<E>> {
        match entries.get(key) {
            Some(entry) if entry.params == *params => Ok(Some(entry.pending.clone())),
            Some(_) => Err(IdempotencyError::Mismatch),
            None if entries.len() == self.config.capacity.get() => {
                Err(IdempotencyError::Full { capacity: entries.len() })
            }
            None => Ok(None),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError`].
    pub async fn run<W, Fut>(
        &self,
        key: &Key,
        params: P,
        work: W,
    ) -> Result<Answer<V>, IdempotencyError<E>>
    where
        W: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (pending, replayed) = {
            let mut entries = self.fresh();
            match self.known(&entries, key, &params)? {
                Some(pending) => (pending, true),
                None => {
                    let (sender, receiver) = oneshot::channel();
                    let pending =
                        receiver.map(|r| r.unwrap_or(Err(IdempotencyError::Lost))).boxed().shared();
                    let entry = Entry { params, answered: None, pending: pending.clone() };
                    entries.insert(key.clone(), entry);
                    let (work, map, key) = (work(), Arc::clone(&self.entries), key.clone());
                    tokio::spawn(async move {
                        let result = match AssertUnwindSafe(work).catch_unwind().await {
                            Ok(Ok(value)) => Ok(value),
                            Ok(Err(error)) => Err(IdempotencyError::Failed(error)),
                            Err(_) => Err(IdempotencyError::Lost),
                        };
                        {
                            let mut entries = map.lock().expect("nothing panics under the lock");
                            if result.is_ok() {
                                if let Some(entry) = entries.get_mut(&key) {
                                    entry.answered = Some(Instant::now());
                                }
                            } else {
                                entries.remove(&key);
                            }
                        }
                        let _ = sender.send(result);
                    });
                    (pending, false)
                }
            }
        };
        Ok(Answer { value: pending.await?, replayed })
    }

    /// How many keys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fresh().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
