//! The store: one entry per key, and a task that owns the work behind it.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::{Answered, Completion, IdempotencyError, StoreConfig};

/// Remembers what was answered to which key. `K` is the key, `P` are the parameters of a request, `V` is
/// what the work behind a key returns. Cheap to clone; clones share one store.
///
/// Parameters are kept and compared as they are: a hash of them could take two requests for one.
pub struct Store<K, P, V> {
    shared: Arc<Shared<K, P, V>>,
}

struct Shared<K, P, V> {
    config: StoreConfig,
    state: Mutex<State<K, P, V>>,
}

struct State<K, P, V> {
    entries: HashMap<K, Entry<P, V>>,
    // The keys with an answer, oldest answer first: the order in which they are forgotten.
    answered: VecDeque<(Instant, K)>,
}

struct Entry<P, V> {
    params: P,
    stage: Stage<V>,
}

enum Stage<V> {
    Running(Arc<Outcome<V>>),
    Answered(V),
}

/// What the work came to, for those who wait for it; `None` if its task ended without a result.
type Outcome<V> = SetOnce<Option<Completion<V>>>;

impl<K, P, V> Clone for Store<K, P, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, P, V> Debug for Store<K, P, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the contents, which may hold what must not be logged.
        f.debug_struct("Store").field("config", &self.shared.config).finish_non_exhaustive()
    }
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
        let state = State { entries: HashMap::new(), answered: VecDeque::new() };
        Self { shared: Arc::new(Shared { config, state: Mutex::new(state) }) }
    }

    /// Answers the request with this key and these parameters, doing `work` if nobody has yet.
    ///
    /// * A new key: `work` is called and runs in a task of its own, so that it comes to its end even if
    ///   this caller goes away. [`Completion::Stored`] is final (a decline is an answer too) and is kept;
    ///   after [`Completion::Released`] the key is free again.
    /// * A key whose work is running: waits for that work and returns what it returns, stored or
    ///   released.
    /// * A key with a stored value: returns it.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError`]. For `Mismatch` and `Full`, `work` was not called.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the work running; a repeat with the same key joins it.
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
        let (outcome, replayed) = match self.claim(key, params)? {
            Claim::Answered(value) => {
                return Ok(Answered { completion: Completion::Stored(value), replayed: true });
            }
            Claim::Running(outcome) => (outcome, true),
            Claim::Mine(owner) => {
                let outcome = Arc::clone(&owner.outcome);
                // A combinator and not `async move { owner.end(work.await) }`, which would keep room for
                // the work twice: where it is captured and where it is awaited.
                tokio::spawn(work().map(|completion| owner.end(completion)));
                (outcome, false)
            }
        };
        match outcome.wait().await {
            Some(completion) => Ok(Answered { completion: completion.clone(), replayed }),
            None => Err(IdempotencyError::Lost),
        }
    }

    /// How many keys are kept, those whose work is running included.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut state = self.shared.lock();
        state.forget(&self.shared.config, Instant::now());
        state.entries.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks a key up and, if it is new, makes it this caller's: one step under one lock, so that of two
    /// callers with a new key one is the owner and the other is not.
    fn claim(&self, key: &K, params: P) -> Result<Claim<K, P, V>, IdempotencyError> {
        let config = &self.shared.config;
        let mut state = self.shared.lock();
        state.forget(config, Instant::now());
        let full = state.entries.len() >= config.capacity.get();
        match state.entries.entry(key.clone()) {
            Slot::Occupied(slot) if slot.get().params != params => Err(IdempotencyError::Mismatch),
            Slot::Occupied(slot) => Ok(match &slot.get().stage {
                Stage::Running(outcome) => Claim::Running(Arc::clone(outcome)),
                Stage::Answered(value) => Claim::Answered(value.clone()),
            }),
            Slot::Vacant(_) if full => {
                Err(IdempotencyError::Full { capacity: config.capacity.get() })
            }
            Slot::Vacant(slot) => {
                let outcome = Arc::new(SetOnce::new());
                slot.insert(Entry { params, stage: Stage::Running(Arc::clone(&outcome)) });
                let shared = Arc::clone(&self.shared);
                Ok(Claim::Mine(Owner { shared, key: key.clone(), outcome, ended: false }))
            }
        }
    }
}

enum Claim<K: Eq + Hash, P, V> {
    Answered(V),
    Running(Arc<Outcome<V>>),
    Mine(Owner<K, P, V>),
}

/// The right to answer a key. Dropped without an answer, it frees the key.
struct Owner<K: Eq + Hash, P, V> {
    shared: Arc<Shared<K, P, V>>,
    key: K,
    outcome: Arc<Outcome<V>>,
    ended: bool,
}

impl<K: Clone + Eq + Hash, P, V: Clone> Owner<K, P, V> {
    fn end(mut self, completion: Completion<V>) {
        self.ended = true;
        let mut state = self.shared.lock();
        match &completion {
            Completion::Stored(value) => {
                if let Some(entry) = state.entries.get_mut(&self.key) {
                    entry.stage = Stage::Answered(value.clone());
                }
                state.answered.push_back((Instant::now(), self.key.clone()));
            }
            Completion::Released(_) => {
                state.entries.remove(&self.key);
            }
        }
        drop(state);
        self.tell(Some(completion));
    }
}

impl<K: Eq + Hash, P, V> Owner<K, P, V> {
    /// After the store knows: whoever is woken by it may ask again at once.
    fn tell(&self, outcome: Option<Completion<V>>) {
        // An owner ends once, so nothing was told before.
        let _ = self.outcome.set(outcome);
    }
}

impl<K: Eq + Hash, P, V> Drop for Owner<K, P, V> {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.lock().entries.remove(&self.key);
            self.tell(None);
        }
    }
}

impl<K, P, V> Shared<K, P, V> {
    fn lock(&self) -> MutexGuard<'_, State<K, P, V>> {
        // `V::clone` and `P::eq` run under the lock, but nothing is half done while they do.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, P, V> State<K, P, V> {
    /// Forgets answers that are old enough. Each is forgotten once, so a call does a constant amount of
    /// it on average, and nothing has to run in the background.
    fn forget(&mut self, config: &StoreConfig, now: Instant) {
        while let Some((at, key)) = self.answered.front()
            && now.saturating_duration_since(*at) >= config.retention
        {
            self.entries.remove(key);
            self.answered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
