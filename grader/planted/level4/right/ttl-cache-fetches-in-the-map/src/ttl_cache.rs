//! A cache that holds its fetches beside its values.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

/// What a cache keeps, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The most values that are kept. For one more, the value goes that was not used for the longest time.
    pub capacity: NonZeroUsize,
    /// A value is fresh while its age is less than this.
    pub ttl: Duration,
    /// A value that is not fresh any more can still be read for this time. Zero: not at all.
    pub stale_for: Duration,
}

/// Why there is no such cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The `ttl` is zero: no value would ever be fresh.
    #[error("ttl is zero; a value must be fresh for a nanosecond at least")]
    ZeroTtl,
}

/// A value of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// The time since it arrived: since its fetch ended, or since it was put.
    pub age: Duration,
    /// Whether its age is less than the cache's `ttl`.
    pub fresh: bool,
}

type Fetch<V, E> = BoxFuture<'static, Result<(V, Instant), E>>;

/// Keeps values for a time, and fetches missing ones once.
pub struct TtlCache<K, V, E> {
    config: Config,
    state: Arc<Mutex<State<K, V, E>>>,
}

struct State<K, V, E> {
    values: HashMap<K, Value<V>>,
    fetches: HashMap<K, (u64, WeakShared<Fetch<V, E>>)>,
    clock: u64,
}

struct Value<V> {
    value: V,
    arrived: Instant,
    used: u64,
}

impl<K, V, E> Clone for TtlCache<K, V, E> {
    fn clone(&self) -> Self {
        Self { config: self.config, state: Arc::clone(&self.state) }
    }
}

impl<K, V, E> fmt::Debug for TtlCache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TtlCache")
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E> State<K, V, E> {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn read(&mut self, key: &K, config: &Config) -> (Option<(V, Instant)>, Option<Value<V>>) {
        let used = self.tick();
        let Some(value) = self.values.get_mut(key) else { return (None, None) };
        let age = value.arrived.elapsed();
        let over = age.checked_sub(config.ttl).is_some_and(|past| past >= config.stale_for);
        if over {
            return (None, self.values.remove(key));
        }
        value.used = used;
        (Some((value.value.clone(), value.arrived)), None)
    }

    fn write(&mut self, key: K, value: V, arrived: Instant, capacity: NonZeroUsize) -> Option<Value<V>> {
        let used = self.tick();
        let older = self.values.insert(key, Value { value, arrived, used });
        if self.values.len() <= capacity.get() {
            return older;
        }
        // A small cache: who was not used longest is found by a look at all.
        let oldest = self.values.iter().min_by_key(|(_, value)| value.used).map(|(key, _)| key.clone());
        oldest.and_then(|key| self.values.remove(&key))
    }
}

impl<K, V, E> TtlCache<K, V, E>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty cache.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.ttl == Duration::ZERO {
            return Err(ConfigError::ZeroTtl);
        }
        let state = State { values: HashMap::new(), fetches: HashMap::new(), clock: 0 };
        Ok(Self { config, state: Arc::new(Mutex::new(state)) })
    }

    /// The value of `key`, fresh or stale.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Hit<V>> {
        let (found, gone) = lock(&self.state).read(key, &self.config);
        drop(gone);
        found.map(|(value, arrived)| self.hit(value, arrived))
    }

    /// The value of `key`, if it is fresh; otherwise what `fetch` brings.
    pub async fn get_or_fetch<F>(
        &self,
        key: K,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Hit<V>, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (value, arrived) = match self.look(key, fetch) {
            Ok(found) => found,
            Err(fetch) => fetch.await?,
        };
        Ok(self.hit(value, arrived))
    }

    /// A fresh value, or the fetch to wait for: both under one lock.
    fn look<F>(
        &self,
        key: K,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(V, Instant), Shared<Fetch<V, E>>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut state = lock(&self.state);
        let (found, gone) = state.read(&key, &self.config);
        if let Some(found) = found.filter(|(_, arrived)| arrived.elapsed() < self.config.ttl) {
            return Ok(found);
        }
        let running = state.fetches.get(&key).and_then(|(_, fetch)| fetch.upgrade());
        let fetch = running.unwrap_or_else(|| {
            let number = state.tick();
            let ends = Ends { state: Arc::clone(&self.state), key: key.clone(), number };
            let capacity = self.config.capacity;
            let fetch = async move {
                let mut ends = ends;
                let value = fetch().await?;
                let arrived = Instant::now();
                let gone = ends.arrives(value.clone(), arrived, capacity);
                drop(gone);
                Ok((value, arrived))
            };
            let fetch = fetch.boxed().shared();
            state.fetches.extend(fetch.downgrade().map(|weak| (key, (number, weak))));
            fetch
        });
        drop(state);
        drop(gone);
        Err(fetch)
    }

    /// Keeps `value`, which has arrived now.
    pub fn put(&self, key: K, value: V) {
        let gone = {
            let mut state = lock(&self.state);
            state.fetches.remove(&key);
            state.write(key, value, Instant::now(), self.config.capacity)
        };
        drop(gone);
    }

    /// Forgets the value of `key`, and what a fetch of it may bring.
    pub fn invalidate(&self, key: &K) {
        let gone = {
            let mut state = lock(&self.state);
            state.fetches.remove(key);
            state.values.remove(key)
        };
        drop(gone);
    }

    /// How many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.state).values.len()
    }

    /// Whether no value is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hit(&self, value: V, arrived: Instant) -> Hit<V> {
        let age = arrived.elapsed();
        Hit { value, age, fresh: age < self.config.ttl }
    }
}

struct Ends<K: Hash + Eq, V, E> {
    state: Arc<Mutex<State<K, V, E>>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq, V, E> Ends<K, V, E> {
    fn is_current(&self, state: &State<K, V, E>) -> bool {
        state.fetches.get(&self.key).is_some_and(|(number, _)| *number == self.number)
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E> Ends<K, V, E> {
    fn arrives(&mut self, value: V, arrived: Instant, capacity: NonZeroUsize) -> Option<Value<V>> {
        let mut state = lock(&self.state);
        if !self.is_current(&state) {
            return None;
        }
        state.write(self.key.clone(), value, arrived, capacity)
    }
}

impl<K: Hash + Eq, V, E> Drop for Ends<K, V, E> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if self.is_current(&state) {
            state.fetches.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
