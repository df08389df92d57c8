//! A cache whose values have an age, and that fetches what is missing once for all who ask.
//!
//! ```text
//!   a value arrives         age = ttl              age = ttl + stale_for
//!  ────┬──────────────────────┬──────────────────────┬──────────────────▶
//!      │        fresh         │        stale         │      gone
//!      │ get: a fresh hit     │ get: a stale hit     │ get: nothing
//!      │ get_or_fetch: a hit  │ get_or_fetch: fetches, one fetch for all who ask
//! ```
//!
//! Lesson: `level4/lessons/ttl_cache.md`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::single_flight::SingleFlight;

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

/// Keeps values for a time, and fetches missing ones once.
///
/// A clone is a handle to the same values. Values that are gone by their age leave when they are asked for, or when
/// others need their place: there is no task and no timer.
pub struct TtlCache<K, V, E> {
    config: Config,
    state: Arc<Mutex<State<K, V>>>,
    // The value with the time of its arrival: all callers see the same age.
    fetches: SingleFlight<K, (V, Instant), E>,
}

impl<K, V, E> Clone for TtlCache<K, V, E> {
    fn clone(&self) -> Self {
        let (state, fetches) = (Arc::clone(&self.state), self.fetches.clone());
        Self { config: self.config, state, fetches }
    }
}

impl<K, V, E> fmt::Debug for TtlCache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TtlCache").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<K, V, E> TtlCache<K, V, E>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty cache.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTtl`]. Every other time is accepted; with `Duration::MAX` a value stays fresh.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.ttl.is_zero() {
            return Err(ConfigError::ZeroTtl);
        }
        let state = Arc::new(Mutex::new(State::new()));
        Ok(Self { config, state, fetches: SingleFlight::new() })
    }

    /// The value of `key`, fresh or stale. This counts as a use of it.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Hit<V>> {
        let now = Instant::now();
        let (found, gone) = lock(&self.state).read(key, now, &self.config);
        drop(gone); // outside of the lock: a value's destructor may use the cache
        let (value, arrived) = found?;
        Some(self.hit(value, arrived, now))
    }

    /// The value of `key`, if it is fresh. Otherwise `fetch` is run, once for all who ask meanwhile, and its value
    /// is kept.
    ///
    /// An error is not kept. It reaches all who asked, and a stale value stays as it is.
    ///
    /// While a fetch is on its way, [`put`](Self::put) and [`invalidate`](Self::invalidate) make its value obsolete:
    /// those who wait for it get it, but it is not kept, and a later caller does not join it.
    ///
    /// # Errors
    ///
    /// The error of the fetch.
    ///
    /// # Panics
    ///
    /// A panic of `fetch` reaches all who wait for it. Nothing is kept of it.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. The fetch goes on while one caller waits for it, and is
    /// dropped with the last one.
    pub async fn get_or_fetch<F>(
        &self,
        key: K,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Hit<V>, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        if let Some(hit) = self.get(&key).filter(|hit| hit.fresh) {
            return Ok(hit);
        }
        let (state, config) = (Arc::clone(&self.state), self.config);
        let loads = key.clone();
        let work = move || async move {
            // Another thread may have brought the value since this caller looked: its fetch was over before this
            // one began.
            let again = State::fresh(&state, &loads, &config);
            if let Some(found) = again {
                return Ok(found);
            }
            let loading = Loading::begin(state, loads);
            let value = fetch().await?;
            // The age begins here, when the value has arrived: a fetch may take longer than the ttl.
            let arrived = Instant::now();
            loading.arrives(value.clone(), arrived, config.capacity);
            Ok((value, arrived))
        };
        let (value, arrived) = self.fetches.run(key, work).await?;
        Ok(self.hit(value, arrived, Instant::now()))
    }

    /// Keeps `value`, which has arrived now.
    pub fn put(&self, key: K, value: V) {
        self.fetches.forget(&key);
        let gone = {
            let mut state = lock(&self.state);
            state.loading.remove(&key);
            state.keep(key, value, Instant::now(), self.config.capacity)
        };
        drop(gone);
    }

    /// Forgets the value of `key`, and makes obsolete what a fetch of it may bring.
    pub fn invalidate(&self, key: &K) {
        self.fetches.forget(key);
        let gone = {
            let mut state = lock(&self.state);
            state.loading.remove(key);
            state.remove(key)
        };
        drop(gone);
    }

    /// How many values are kept, at most the capacity. Those that are gone by their age may be among them.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.state).entries.len()
    }

    /// Whether no value is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hit(&self, value: V, arrived: Instant, now: Instant) -> Hit<V> {
        let age = now.duration_since(arrived);
        Hit { value, age, fresh: age < self.config.ttl }
    }
}

/// What is kept, without a clock.
struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// All uses in their order. Those that are not the last of their key count for nothing.
    uses: VecDeque<(u64, K)>,
    /// The fetches whose value will be kept, by their numbers.
    loading: HashMap<K, u64>,
    /// Counts uses and fetches.
    count: u64,
}

struct Entry<V> {
    value: V,
    arrived: Instant,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> State<K, V> {
    fn new() -> Self {
        Self { entries: HashMap::new(), uses: VecDeque::new(), loading: HashMap::new(), count: 0 }
    }

    /// The value with its arrival, if it is fresh.
    fn fresh(state: &Mutex<Self>, key: &K, config: &Config) -> Option<(V, Instant)> {
        let now = Instant::now();
        let (found, gone) = lock(state).read(key, now, config);
        drop(gone);
        found.filter(|(_, arrived)| now.duration_since(*arrived) < config.ttl)
    }

    const fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The value with its arrival, or the value that is gone by its age.
    fn read(
        &mut self,
        key: &K,
        now: Instant,
        config: &Config,
    ) -> (Option<(V, Instant)>, Option<V>) {
        let used = self.next();
        let Some(entry) = self.entries.get_mut(key) else { return (None, None) };
        let age = now.duration_since(entry.arrived);
        if age >= config.ttl.saturating_add(config.stale_for) {
            return (None, self.remove(key));
        }
        entry.used = used;
        let found = (entry.value.clone(), entry.arrived);
        self.note(used, key.clone());
        (Some(found), None)
    }

    /// Keeps a value. Returns the older value of the key, or the one that had to make room.
    fn keep(&mut self, key: K, value: V, arrived: Instant, capacity: NonZeroUsize) -> Option<V> {
        let listed = key.clone();
        let mut gone = self.remove(&key);
        while self.entries.len() >= capacity.get() {
            let Some((used, key)) = self.uses.pop_front() else { break };
            if self.entries.get(&key).is_some_and(|entry| entry.used == used) {
                gone = self.remove(&key);
            }
        }
        let used = self.next();
        self.entries.insert(key, Entry { value, arrived, used });
        self.note(used, listed);
        gone
    }

    /// Notes a use, and now and then forgets those that count for nothing.
    fn note(&mut self, used: u64, key: K) {
        self.uses.push_back((used, key));
        if self.uses.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.uses.retain(|(at, key)| *at == used || entries.get(key).is_some_and(|it| it.used == *at));
        }
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }
}

/// A fetch that is on its way. Its entry leaves the map on each of its ends: value, error, panic and drop.
struct Loading<K: Hash + Eq, V> {
    state: Arc<Mutex<State<K, V>>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Loading<K, V> {
    fn begin(state: Arc<Mutex<State<K, V>>>, key: K) -> Self {
        let number = {
            let mut state = lock(&state);
            let number = state.next();
            state.loading.insert(key.clone(), number);
            number
        };
        Self { state, key, number }
    }

    /// Keeps the value, unless the key was put or invalidated since the fetch began.
    fn arrives(self, value: V, arrived: Instant, capacity: NonZeroUsize) {
        let gone = {
            // The look and the keeping are one step under one lock: no `invalidate` comes between them.
            let mut state = lock(&self.state);
            if state.loading.get(&self.key) == Some(&self.number) {
                state.keep(self.key.clone(), value, arrived, capacity)
            } else {
                Some(value)
            }
        };
        drop(gone);
    }
}

impl<K: Hash + Eq, V> Drop for Loading<K, V> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        // By its number: the fetch of a later caller is not touched.
        if state.loading.get(&self.key) == Some(&self.number) {
            state.loading.remove(&self.key);
        }
    }
}

/// A panic under the lock can only be one of a key or of a value's `clone`, before anything is changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
