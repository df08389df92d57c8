//! The store as a map of shared futures.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answered, Completion, IdempotencyError, StoreConfig};

type Ended<V> = Result<Completion<V>, IdempotencyError>;
type Pending<V> = Shared<BoxFuture<'static, Ended<V>>>;

struct Entry<P, V> {
    params: P,
    answered: Option<Instant>,
    pending: Pending<V>,
}

type Entries<K, P, V> = Mutex<HashMap<K, Entry<P, V>>>;

/// Remembers what was answered to which key.
pub struct Store<K, P, V> {
    config: StoreConfig,
    entries: Arc<Entries<K, P, V>>,
}

impl<K, P, V> Clone for Store<K, P, V> {
    fn clone(&self) -> Self {
        Self { config: self.config, entries: Arc::clone(&self.entries) }
    }
}

impl<K, P, V> fmt::Debug for Store<K, P, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, P, V> Store<K, P, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    P: PartialEq + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self { config, entries: Arc::default() }
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<K, Entry<P, V>>> {
        let mut entries = unpoisoned(&self.entries);
        let retention = self.config.retention;
        entries.retain(|_, entry| entry.answered.is_none_or(|at| at.elapsed() < retention));
        entries
    }

    /// Looks a key up.
    /// The future of the key's work, and the sender for its result if this caller has to start it.
    #[expect(clippy::type_complexity, reason = "one caller")]
    fn claim(
        &self,
        key: &K,
        params: P,
    ) -> Result<(Pending<V>, Option<(K, oneshot::Sender<Ended<V>>)>), IdempotencyError> {
        let mut entries = self.fresh();
        if let Some(pending) = self.known(&entries, key, &params)? {
            return Ok((pending, None));
        }
        let (sender, receiver) = oneshot::channel();
        let pending = receiver.map(|r| r.unwrap_or(Err(IdempotencyError::Lost))).boxed().shared();
        // Both clones before the entry is there: one that panics leaves no key without an owner.
        let (kept, mine) = (key.clone(), key.clone());
        entries.insert(kept, Entry { params, answered: None, pending: pending.clone() });
        Ok((pending, Some((mine, sender))))
    }

    fn known(
        &self,
        entries: &HashMap<K, Entry<P, V>>,
        key: &K,
        params: &P,
    ) -> Result<Option<Pending<V>>, IdempotencyError> {
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
        key: &K,
        params: P,
        work: W,
    ) -> Result<Answered<V>, IdempotencyError>
    where
        W: FnOnce() -> Fut,
        Fut: Future<Output = Completion<V>> + Send + 'static,
    {
        let (pending, sender) = self.claim(key, params)?;
        let replayed = sender.is_none();
        if let Some((mine, sender)) = sender {
            // Not under the lock: the closure may panic, which is its caller's affair.
            let map = Arc::clone(&self.entries);
            let work = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(work) => work,
                Err(panic) => {
                    unpoisoned(&map).remove(&mine);
                    resume_unwind(panic);
                }
            };
            tokio::spawn(async move {
                let result = match AssertUnwindSafe(work).catch_unwind().await {
                    Ok(completion) => Ok(completion),
                    Err(_) => Err(IdempotencyError::Lost),
                };
                {
                    let mut entries = unpoisoned(&map);
                    if matches!(result, Ok(Completion::Stored(_))) {
                        if let Some(entry) = entries.get_mut(&mine) {
                            entry.answered = Some(Instant::now());
                        }
                    } else {
                        entries.remove(&mine);
                    }
                }
                let _ = sender.send(result);
            });
        }
        Ok(Answered { completion: pending.await?, replayed })
    }

    /// Whether a request with this key would start no work.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.fresh().contains_key(key)
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
