//! Single flight with a count of callers beside each shared future.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

type Work<V, E> = Shared<BoxFuture<'static, Result<V, E>>>;
type Map<K, V, E> = Arc<Mutex<HashMap<K, Entry<V, E>>>>;

/// Runs work once for all callers of a key who ask while it runs.
pub struct SingleFlight<K, V, E> {
    map: Map<K, V, E>,
}

struct Entry<V, E> {
    work: Work<V, E>,
    callers: Arc<()>,
}

impl<K, V, E> Clone for SingleFlight<K, V, E> {
    fn clone(&self) -> Self {
        Self { map: Arc::clone(&self.map) }
    }
}

impl<K, V, E> Default for SingleFlight<K, V, E> {
    fn default() -> Self {
        Self { map: Arc::default() }
    }
}

impl<K, V, E> fmt::Debug for SingleFlight<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SingleFlight")
    }
}

impl<K, V, E> SingleFlight<K, V, E>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// One without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins the run of `key`, or begins one with `work`.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F + Send + 'static) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut caller = {
            let mut map = lock(&self.map);
            let entry = map.entry(key.clone()).or_insert_with(|| Entry {
                work: async move { work().await }.boxed().shared(),
                callers: Arc::new(()),
            });
            let work = Some(entry.work.clone());
            Caller { map: Arc::clone(&self.map), key, work, token: Arc::clone(&entry.callers), over: false }
        };
        let Some(work) = caller.work.clone() else { return std::future::pending().await };
        let result = work.await;
        caller.over = true;
        drop(caller);
        result
    }

    /// Lets the next caller of `key` begin another run.
    pub fn forget(&self, key: &K) {
        let gone = lock(&self.map).remove(key);
        drop(gone);
    }

    /// How many keys have a run that callers join.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.map).len()
    }

    /// Whether no key has a run that callers join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Caller<K: Hash + Eq, V, E> {
    map: Map<K, V, E>,
    key: K,
    work: Option<Work<V, E>>,
    /// Shared by the callers of a run and its entry: its count is theirs.
    token: Arc<()>,
    over: bool,
}

impl<K: Hash + Eq, V, E> Drop for Caller<K, V, E> {
    fn drop(&mut self) {
        let mut map = lock(&self.map);
        let mine = map.get(&self.key).is_some_and(|entry| Arc::ptr_eq(&entry.callers, &self.token));
        let last = Arc::strong_count(&self.token) == 2;
        let ends = self.over || last || std::thread::panicking();
        let gone = if mine && ends { map.remove(&self.key) } else { None };
        // A caller counts until here, under the lock.
        self.token = Arc::new(());
        drop(map);
        drop(gone);
        drop(self.work.take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
