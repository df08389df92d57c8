//! The store: one entry for each key, and a task that owns the work behind it.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::{Answered, Completion, IdempotencyError, StoreConfig};

/// Remembers the answer to each key. `K` is the key, `P` are the parameters of a request, `V` is
/// what the work behind a key returns. Cheap to clone; clones share one store.
///
/// The store keeps and compares the parameters themselves and not a hash of them: two requests with the same
/// hash would count as one.
///
/// ```
/// use level3::idempotency::{Completion, IdempotencyError, Store, StoreConfig};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let store = Store::new(StoreConfig::default());
/// let pay = |amount: u32| {
///     let store = store.clone();
///     async move { store.run(&"order-1", amount, || async { Completion::Stored("paid") }).await }
/// };
/// assert!(!pay(10).await.unwrap().replayed); // runs the work
/// assert!(pay(10).await.unwrap().replayed); // gets the stored answer
/// assert_eq!(pay(20).await, Err(IdempotencyError::Mismatch));
/// # }
/// ```
pub struct Store<K, P, V> {
    /// In an `Arc`, since the task of an owner outlives the caller and the store's handle that it called.
    shared: Arc<Shared<K, P, V>>,
}

/// What the clones of a store and its owners share.
struct Shared<K, P, V> {
    /// Never changes, so it is outside of the lock.
    config: StoreConfig,
    /// A `std` mutex: it is held for one look at the entries, never across an `.await`, and the drop of an
    /// owner takes it.
    state: Mutex<State<K, P, V>>,
}

/// The data that the lock guards.
struct State<K, P, V> {
    /// Every key that is known: its work is running, or its answer is kept.
    entries: HashMap<K, Entry<P, V>>,
    /// The keys with an answer, oldest answer first: the order in which they expire. A key whose work is
    /// running is not in it, so it cannot expire under the work.
    answered: VecDeque<(Instant, K)>,
}

/// What the store knows about a key.
struct Entry<P, V> {
    /// The parameters of the first request. A repeat with others is a client's mistake.
    params: P,
    /// Decides what a repeat gets: a place at the running work, or the kept answer.
    stage: Stage<V>,
}

/// How far the work behind a key is. No work that has failed is in it: its entry is removed.
enum Stage<V> {
    /// The cell that the work will fill. Every caller that arrives until then waits for it.
    Running(Arc<Outcome<V>>),
    /// The answer to every later request until it expires.
    Answered(V),
}

/// The result of the work; `None` if its task ended without one.
///
/// A [`SetOnce`] and not a channel: it is written once, any number of callers wait for it, and a caller that
/// begins to wait after the write sees the value too. With a `Notify` such a caller would wait without end.
type Outcome<V> = SetOnce<Option<Completion<V>>>;

impl<K, P, V> Clone for Store<K, P, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, P, V> Debug for Store<K, P, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the contents: parameters and answers may hold secrets.
        f.debug_struct("Store").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl<K, P, V> Store<K, P, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    P: PartialEq + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Makes an empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let state = State { entries: HashMap::new(), answered: VecDeque::new() };
        Self { shared: Arc::new(Shared { config, state: Mutex::new(state) }) }
    }

    /// Answers the request with this key and these parameters, and runs `work` if no other request has.
    ///
    /// * For a new key, the store calls `work` and runs its future in a task of its own, to its end even if
    ///   this caller drops its future. [`Completion::Stored`] is final (a decline is an answer too) and is kept;
    ///   after [`Completion::Released`] the key is free for a new request.
    /// * For a key whose work is running, the call waits for that work and returns its result, stored or
    ///   released.
    /// * For a key with a stored value, the call returns that value.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError`]. For `Mismatch` and `Full`, the store has not called `work`.
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
        // The claim is made without an `.await`, so of two callers with a new key exactly one becomes the owner,
        // and the other one finds its entry.
        let (outcome, replayed) = match self.claim(key, params)? {
            Claim::Answered(value) => {
                return Ok(Answered { completion: Completion::Stored(value), replayed: true });
            }
            // `work` of this caller is dropped uncalled.
            Claim::Running(outcome) => (outcome, true),
            Claim::Mine(owner) => {
                // The owner waits for the cell like every other caller, so that a caller that is dropped takes
                // nothing with it. It needs a handle of its own, because `owner` moves into the task.
                let outcome = Arc::clone(&owner.outcome);
                // Spawned, since the work must not die with the caller that happened to come first. The
                // owner moves into the task: if the task is dropped or panics, so is the owner, and its
                // drop frees the key. `map` and not an `async` block around `work.await`: an `async`
                // block that takes a future by value stores it twice (rust-lang/rust#62958).
                tokio::spawn(work().map(|completion| owner.end(completion)));
                (outcome, false)
            }
        };
        // The lock is not held here: every caller may wait for as long as the work takes.
        match outcome.wait().await {
            // A clone for each caller: the value stays in the cell for the others.
            Some(completion) => Ok(Answered { completion: completion.clone(), replayed }),
            None => Err(IdempotencyError::Lost),
        }
    }

    /// Returns whether a request with this key would start no work: its work is running, or has an answer.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        let mut state = self.shared.lock();
        // Expired answers go first, so that they do not count. No task does this in the background.
        state.forget(&self.shared.config, Instant::now());
        state.entries.contains_key(key)
    }

    /// Returns the number of keys that the store keeps, those whose work is running included.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut state = self.shared.lock();
        state.forget(&self.shared.config, Instant::now());
        state.entries.len()
    }

    /// Returns whether the store keeps no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks a key up and, if it is new, makes it this caller's: one step under one lock, so that of two
    /// callers with a new key one is the owner and the other is not.
    fn claim(&self, key: &K, params: P) -> Result<Claim<K, P, V>, IdempotencyError> {
        let config = &self.shared.config;
        let mut state = self.shared.lock();
        // Before the lookup: a key that has expired is a new key, and its place is free for another one.
        state.forget(config, Instant::now());
        // Before `entry`, which borrows the map until the end of the match.
        let full = state.entries.len() >= config.capacity.get();
        match state.entries.entry(key.clone()) {
            // Compared before the stage is looked at: a request that uses the key for something else gets neither
            // an answer nor a place to wait, or a client would get the answer to a payment that it did not send.
            Slot::Occupied(slot) if slot.get().params != params => Err(IdempotencyError::Mismatch),
            Slot::Occupied(slot) => Ok(match &slot.get().stage {
                Stage::Running(outcome) => Claim::Running(Arc::clone(outcome)),
                Stage::Answered(value) => Claim::Answered(value.clone()),
            }),
            // Only a new key is refused: a full store still answers the repeats of its keys. It evicts none to make
            // room, since a repeat of the evicted key would be executed a second time.
            Slot::Vacant(_) if full => {
                Err(IdempotencyError::Full { capacity: config.capacity.get() })
            }
            Slot::Vacant(slot) => {
                // `K::clone` is foreign code, and so before the entry: if it panicked after it, the entry would have no
                // owner that frees the key.
                let key = slot.key().clone();
                let outcome = Arc::new(SetOnce::new());
                // The parameters are kept from the start: a request that comes while the work runs is compared too.
                slot.insert(Entry { params, stage: Stage::Running(Arc::clone(&outcome)) });
                let shared = Arc::clone(&self.shared);
                // Made under the lock and armed from now on. If the caller panics before the task is spawned, the
                // drop of the owner frees the key.
                Ok(Claim::Mine(Owner { shared, key, outcome, ended: false }))
            }
        }
    }
}

/// The result of looking a key up.
enum Claim<K: Eq + Hash, P, V> {
    /// The key has an answer.
    Answered(V),
    /// Another caller is the owner. This is the cell that its work fills.
    Running(Arc<Outcome<V>>),
    /// The key was new, and this caller has to run the work.
    Mine(Owner<K, P, V>),
}

/// The right to answer a key; there is one for each entry whose work is running. Dropped without an
/// answer, because the work panicked or its runtime shut down, it frees the key.
struct Owner<K: Eq + Hash, P, V> {
    /// The store in which the drop frees the key. In an `Arc`, since the owner moves into the task of the work, which
    /// outlives its caller.
    shared: Arc<Shared<K, P, V>>,
    /// Where its entry is. The entry stays there while the owner exists: `forget` removes answered keys only.
    key: K,
    /// The same cell as in the entry. It outlives the entry when the key is freed.
    outcome: Arc<Outcome<V>>,
    /// Whether the drop has nothing left to do.
    ended: bool,
}

impl<K: Clone + Eq + Hash, P, V: Clone> Owner<K, P, V> {
    /// Stores the result or frees the key, and wakes the callers that wait.
    fn end(mut self, completion: Completion<V>) {
        // Foreign code, and so before the lock and before `ended`: if it panics, the drop frees the key.
        let stored = match &completion {
            Completion::Stored(value) => Some((value.clone(), self.key.clone())),
            Completion::Released(_) => None,
        };
        // From here on the drop has nothing to do: the entries change below.
        self.ended = true;
        let mut state = self.shared.lock();
        match stored {
            Some((value, key)) => {
                if let Some(entry) = state.entries.get_mut(&self.key) {
                    entry.stage = Stage::Answered(value);
                }
                // The clock is read under the lock, so that the queue is in the order of its instants: `forget`
                // looks at its front only. The age counts from the answer and not from the request, or the key of
                // a long work would expire early.
                state.answered.push_back((Instant::now(), key));
            }
            // Removed and not kept as "failed": the client's next request with the key has to run.
            None => {
                state.entries.remove(&self.key);
            }
        }
        // Released before the waiters wake: each of them may ask again at once.
        drop(state);
        self.tell(Some(completion));
    }
}

impl<K: Eq + Hash, P, V> Owner<K, P, V> {
    /// Wakes the callers that wait. Called after the entries have changed, and without its lock: a caller that
    /// is woken may come back with the same key at once, and has to find it answered or free.
    fn tell(&self, outcome: Option<Completion<V>>) {
        // `set` fails if the cell is full. It never is: an owner publishes once, either in `end` or in its drop.
        let _ = self.outcome.set(outcome);
    }
}

impl<K: Eq + Hash, P, V> Drop for Owner<K, P, V> {
    fn drop(&mut self) {
        // The work panicked, or its runtime was shut down. The entry goes first, so that a waiter that asks again
        // finds the key free.
        if !self.ended {
            self.shared.lock().entries.remove(&self.key);
            self.tell(None);
        }
    }
}

impl<K, P, V> Shared<K, P, V> {
    fn lock(&self) -> MutexGuard<'_, State<K, P, V>> {
        // `K::clone`, `V::clone` and `P::eq` are foreign code that runs under the lock and may panic. Each runs
        // before the entries change, so they are whole after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, P, V> State<K, P, V> {
    /// Removes the answers that have expired. Each is removed once, so a call takes constant time on
    /// average, and no background task is needed.
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
