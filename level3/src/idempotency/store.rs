//! The store: one entry per key, and a task that owns the work behind it.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::{Answer, IdempotencyError, Key, StoreConfig};

/// Remembers what was answered to which key. `P` are the parameters of a request, `V` is an answer, `E`
/// a failure that may pass. Cheap to clone; clones share one store.
///
/// Parameters are kept and compared as they are: a hash of them could take two requests for one.
pub struct Store<P, V, E> {
    shared: Arc<Shared<P, V, E>>,
}

struct Shared<P, V, E> {
    config: StoreConfig,
    state: Mutex<State<P, V, E>>,
}

struct State<P, V, E> {
    entries: HashMap<Key, Entry<P, V, E>>,
    // The keys with an answer, oldest answer first: the order in which they are forgotten.
    answered: VecDeque<(Instant, Key)>,
}

struct Entry<P, V, E> {
    params: P,
    stage: Stage<V, E>,
}

enum Stage<V, E> {
    Running(Arc<Outcome<V, E>>),
    Answered(V),
}

/// What the work came to, for those who wait for it; `None` if its task ended without a result.
type Outcome<V, E> = SetOnce<Option<Result<V, E>>>;

impl<P, V, E> Clone for Store<P, V, E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P, V, E> Debug for Store<P, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the contents, which may hold what must not be logged.
        f.debug_struct("Store").field("config", &self.shared.config).finish_non_exhaustive()
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
        let state = State { entries: HashMap::new(), answered: VecDeque::new() };
        Self { shared: Arc::new(Shared { config, state: Mutex::new(state) }) }
    }

    /// Answers the request with this key and these parameters, doing `work` if nobody has yet.
    ///
    /// * A new key: `work` is called and runs in a task of its own, so that it comes to its end even if
    ///   this caller goes away. What it returns as `Ok` is final (a decline is an answer too) and is
    ///   stored; what it returns as `Err` may pass, so the key is free again.
    /// * A key whose work is running: waits for that work and returns its result, the error included.
    /// * A key with a stored answer: returns it.
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
        key: &Key,
        params: P,
        work: W,
    ) -> Result<Answer<V>, IdempotencyError<E>>
    where
        W: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (outcome, replayed) = match self.claim(key, params)? {
            Claim::Answered(value) => return Ok(Answer { value, replayed: true }),
            Claim::Running(outcome) => (outcome, true),
            Claim::Mine(owner) => {
                let outcome = Arc::clone(&owner.outcome);
                // A combinator and not `async move { owner.end(work.await) }`, which would keep room for
                // the work twice: where it is captured and where it is awaited.
                tokio::spawn(work().map(|result| owner.end(result)));
                (outcome, false)
            }
        };
        match outcome.wait().await {
            Some(Ok(value)) => Ok(Answer { value: value.clone(), replayed }),
            Some(Err(error)) => Err(IdempotencyError::Failed(error.clone())),
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
    fn claim(&self, key: &Key, params: P) -> Result<Claim<P, V, E>, IdempotencyError<E>> {
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

enum Claim<P, V, E> {
    Answered(V),
    Running(Arc<Outcome<V, E>>),
    Mine(Owner<P, V, E>),
}

/// The right to answer a key. Dropped without an answer, it frees the key.
struct Owner<P, V, E> {
    shared: Arc<Shared<P, V, E>>,
    key: Key,
    outcome: Arc<Outcome<V, E>>,
    ended: bool,
}

impl<P, V: Clone, E> Owner<P, V, E> {
    fn end(mut self, result: Result<V, E>) {
        self.ended = true;
        let mut state = self.shared.lock();
        match &result {
            Ok(value) => {
                if let Some(entry) = state.entries.get_mut(&self.key) {
                    entry.stage = Stage::Answered(value.clone());
                }
                state.answered.push_back((Instant::now(), self.key.clone()));
            }
            Err(_) => {
                state.entries.remove(&self.key);
            }
        }
        drop(state);
        self.tell(Some(result));
    }
}

impl<P, V, E> Owner<P, V, E> {
    /// After the store knows: whoever is woken by it may ask again at once.
    fn tell(&self, outcome: Option<Result<V, E>>) {
        // An owner ends once, so nothing was told before.
        let _ = self.outcome.set(outcome);
    }
}

impl<P, V, E> Drop for Owner<P, V, E> {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.lock().entries.remove(&self.key);
            self.tell(None);
        }
    }
}

impl<P, V, E> Shared<P, V, E> {
    fn lock(&self) -> MutexGuard<'_, State<P, V, E>> {
        // `V::clone` and `P::eq` run under the lock, but nothing is half done while they do.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P, V, E> State<P, V, E> {
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
