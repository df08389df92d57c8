//! A cache whose values have an age. It fetches a missing value once for all concurrent callers.
//!
//! ```text
//!   a value arrives         age = ttl              age = ttl + stale_for
//!  ────┬──────────────────────┬──────────────────────┬──────────────────▶
//!      │        fresh         │        stale         │      gone
//!      │ get: a fresh hit     │ get: a stale hit     │ get: nothing
//!      │ get_or_fetch: a hit  │ get_or_fetch: one fetch for all callers
//! ```
//!
//! Lesson: `level4/lessons/ttl_cache.md`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::single_flight::SingleFlight;

/// How many values a cache keeps, and how long.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::ttl_cache::{Config, TtlCache};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let minute = Duration::from_secs(60);
/// let config = Config { capacity: NonZeroUsize::MIN, ttl: minute, stale_for: minute };
/// let cache = TtlCache::<_, _, String>::new(config)?;
/// cache.put("price", 42);
/// let fresh = || cache.get(&"price").map(|hit| hit.fresh);
/// assert_eq!(fresh(), Some(true));
/// sleep(minute).await;
/// assert_eq!(fresh(), Some(false));
/// sleep(minute).await;
/// assert_eq!(fresh(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The most values that are kept. For one more, the value is dropped whose last use is the longest ago.
    pub capacity: NonZeroUsize,
    /// A value is fresh while its age is less than this.
    pub ttl: Duration,
    /// How long a value can still be read after it was fresh. Zero: not at all.
    pub stale_for: Duration,
}

/// The reason why [`TtlCache::new`] refuses a [`Config`].
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::ttl_cache::{Config, ConfigError, TtlCache};
///
/// let zero = Duration::ZERO;
/// let config = Config { capacity: NonZeroUsize::MIN, ttl: zero, stale_for: zero };
/// let refused = TtlCache::<u32, u32, String>::new(config).err();
/// assert_eq!(refused, Some(ConfigError::ZeroTtl));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The `ttl` is zero: no value would ever be fresh.
    #[error("ttl is zero; a value must be fresh for a nanosecond at least")]
    ZeroTtl,
}

/// A value of the cache, with its age.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::ttl_cache::{Config, Hit, TtlCache};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ttl, stale_for) = (Duration::from_secs(60), Duration::ZERO);
/// let cache = TtlCache::<_, _, String>::new(Config { capacity: NonZeroUsize::MIN, ttl, stale_for })?;
/// cache.put("price", 42);
/// sleep(Duration::from_secs(10)).await;
/// let age = Duration::from_secs(10);
/// assert_eq!(cache.get(&"price"), Some(Hit { value: 42, age, fresh: true }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// The time since the value arrived: since its fetch ended, or since it was put.
    pub age: Duration,
    /// Whether the age is less than the cache's `ttl`.
    pub fresh: bool,
}

/// Keeps values for a time, and fetches missing ones once.
///
/// A clone is a handle to the same values. There is no background task and no timer: a value that is too old is dropped
/// when a caller asks for it, or when another value needs its place.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::ttl_cache::{Config, TtlCache};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ttl, stale_for) = (Duration::from_secs(60), Duration::ZERO);
/// let cache = TtlCache::<_, _, String>::new(Config { capacity: NonZeroUsize::MIN, ttl, stale_for })?;
/// let hit = cache.get_or_fetch("price", || async { Ok(42) }).await?;
/// assert_eq!((hit.value, hit.age), (42, Duration::ZERO));
/// // The value is fresh, so this fetch is not called.
/// let hit = cache.get_or_fetch("price", || async { Err("no connection".to_owned()) }).await?;
/// assert_eq!(hit.value, 42);
/// # Ok(())
/// # }
/// ```
pub struct TtlCache<K, V, E> {
    config: Config,
    /// A std lock: it is held for a lookup or a change and never across an await point.
    state: Arc<Mutex<State<K, V>>>,
    /// The value with the time of its arrival: all callers of a fetch see the same age, also one that is polled late.
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
    /// Makes an empty cache.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTtl`], if `ttl` is zero. Every other time is accepted; with `Duration::MAX` a value stays
    /// fresh.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.ttl.is_zero() {
            return Err(ConfigError::ZeroTtl);
        }
        let state = Arc::new(Mutex::new(State::new()));
        Ok(Self { config, state, fetches: SingleFlight::new() })
    }

    /// Returns the value of `key`, fresh or stale. This counts as a use of the value.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Hit<V>> {
        // One reading of the clock for the decision and for the age: a hit that is fresh by the one and stale by the
        // other cannot exist.
        let now = Instant::now();
        let (found, gone) = lock(&self.state).read(key, now, &self.config);
        // Outside of the lock: a value's destructor may use the cache, and would wait for itself.
        drop(gone);
        let (value, arrived) = found?;
        Some(self.hit(value, arrived, now))
    }

    /// Returns the value of `key`, if it is fresh. Otherwise runs `fetch` once for all concurrent callers, and keeps
    /// its value.
    ///
    /// The cache does not keep an error, and a stale value stays as it is.
    ///
    /// While a fetch is under way, [`put`](Self::put) and [`invalidate`](Self::invalidate) make its value obsolete: the
    /// callers that wait for the fetch get the value, but the cache does not keep it, and a later caller does not join.
    ///
    /// # Errors
    ///
    /// The error of the fetch. Every caller that waits for the fetch gets it.
    ///
    /// # Panics
    ///
    /// A panic of `fetch` passes to every caller that waits for it. The cache keeps nothing of the fetch.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. A fetch goes on while at least one caller waits for it, and
    /// is dropped with the last one.
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
        // The work owns its parts: it may outlive this caller and even the cache, if another caller waits for it.
        let (state, config) = (Arc::clone(&self.state), self.config);
        let loads = key.clone();
        let work = move || async move {
            // A second look, now as the one fetch of the key. Between the first look and this, another thread's fetch
            // may have kept its value and ended, and this one would fetch what is there.
            let again = State::fresh(&state, &loads, &config);
            if let Some(found) = again {
                return Ok(found);
            }
            // Before `fetch` is called: an `invalidate` during the call must find this fetch.
            let loading = Loading::begin(state, loads);
            let value = fetch().await?;
            // The age begins here, when the value has arrived: a fetch may take longer than the ttl. Kept inside the
            // fetch and not by its callers, so that it is kept once and no late caller puts it over a newer value.
            let arrived = Instant::now();
            loading.arrives(value.clone(), arrived, config.capacity);
            Ok((value, arrived))
        };
        let (value, arrived) = self.fetches.run(key, work).await?;
        Ok(self.hit(value, arrived, Instant::now()))
    }

    /// Keeps `value`, which has arrived now. A fetch of the key that is under way becomes obsolete.
    pub fn put(&self, key: K, value: V) {
        // A later caller must not join a fetch that is older than this value. The callers that wait for it keep it.
        self.fetches.forget(&key);
        let gone = {
            let mut state = lock(&self.state);
            // In one step with the new value: a fetch that ends in between would put its older value over it.
            state.loading.remove(&key);
            state.keep(key, value, Instant::now(), self.config.capacity)
        };
        // The old value, outside of the lock.
        drop(gone);
    }

    /// Forgets the value of `key`. A fetch of the key that is under way becomes obsolete.
    pub fn invalidate(&self, key: &K) {
        // As in `put`: later callers fetch again, and what the old fetch returns is not kept.
        self.fetches.forget(key);
        let gone = {
            let mut state = lock(&self.state);
            state.loading.remove(key);
            state.remove(key)
        };
        drop(gone);
    }

    /// Returns how many values are kept, at most the capacity. Values that are too old to be read may be among them.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.state).entries.len()
    }

    /// Returns whether no value is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hit(&self, value: V, arrived: Instant, now: Instant) -> Hit<V> {
        let age = now.duration_since(arrived);
        Hit { value, age, fresh: age < self.config.ttl }
    }
}

/// The values, and the fetches that will bring some. One lock guards both, so that keeping and forgetting are single
/// steps.
struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys by the number of their last use, the oldest first: making room does not search all entries. It has one
    /// key for each entry.
    uses: BTreeMap<u64, K>,
    /// The numbers of the fetches whose value will be kept. `put` and `invalidate` remove the number, which is how a
    /// fetch learns that it is obsolete.
    loading: HashMap<K, u64>,
    /// The last number of a use or a fetch. A number and not a time: two uses in one instant have an order too.
    count: u64,
}

/// A value with its age and its place among the uses.
struct Entry<V> {
    value: V,
    arrived: Instant,
    /// The number of its last use: its key in `uses`.
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> State<K, V> {
    fn new() -> Self {
        Self { entries: HashMap::new(), uses: BTreeMap::new(), loading: HashMap::new(), count: 0 }
    }

    /// Returns the value with its arrival, if it is fresh. It takes the lock itself, so that the value that is gone is
    /// dropped outside of it.
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

    /// Returns the value with its arrival; or none, and the value that was removed because of its age. The caller drops
    /// that one when the lock is free.
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
        // The key moves to the young end, without being cloned: a clone of a long key would make each hit slow, and it
        // may panic.
        if let Some(key) = self.uses.remove(&entry.used) {
            self.uses.insert(used, key);
        }
        entry.used = used;
        (Some((entry.value.clone(), entry.arrived)), None)
    }

    /// Keeps a value. Returns the older value of the key, or the one that had to make room.
    fn keep(&mut self, key: K, value: V, arrived: Instant, capacity: NonZeroUsize) -> Option<V> {
        // Before anything changes: the `clone` of a key may panic, and would leave a value gone that no other replaces.
        let listed = key.clone();
        // First: a key that is there already needs no other value's place.
        let mut gone = self.remove(&key);
        // At most one value goes, since each call adds one. So `gone` has room for it: if the key had a value, the
        // cache is not full now.
        if self.entries.len() >= capacity.get()
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            gone = self.entries.remove(&oldest).map(|entry| entry.value);
        }
        let used = self.next();
        // The map of the entries first, since it hashes the key, which may panic too: a use without an entry would take
        // a place of the capacity without end.
        self.entries.insert(key, Entry { value, arrived, used });
        self.uses.insert(used, listed);
        gone
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.uses.remove(&entry.used);
        Some(entry.value)
    }
}

/// A fetch that is under way. A guard: its entry leaves the map on each of its ends, which are value, error, panic and
/// drop. Otherwise the map would grow by one entry with each key whose fetch fails.
struct Loading<K: Hash + Eq, V> {
    state: Arc<Mutex<State<K, V>>>,
    key: K,
    /// Tells this fetch from a later one of the same key, which may run at the same time after an `invalidate`.
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
            // The check and the keeping are one step under one lock: an `invalidate` between them would find nothing to
            // forget, and the obsolete value would be kept after it.
            let mut state = lock(&self.state);
            if state.loading.get(&self.key) == Some(&self.number) {
                state.keep(self.key.clone(), value, arrived, capacity)
            } else {
                // Obsolete. It is dropped below, like a value that was replaced.
                Some(value)
            }
        };
        drop(gone);
        // `self` is dropped here, with the lock free: its destructor takes it.
    }
}

impl<K: Hash + Eq, V> Drop for Loading<K, V> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        // By its number: after an `invalidate`, the entry may be that of a later fetch, which would then not be kept.
        if state.loading.get(&self.key) == Some(&self.number) {
            state.loading.remove(&self.key);
        }
    }
}

/// Locks, also after a panic: what may panic under the lock is the `clone` of a key or a value, and the maps agree with
/// one another before each of those calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn cache(capacity: usize, stale_for: u64) -> TtlCache<&'static str, u32, String> {
        let capacity = NonZeroUsize::new(capacity).expect("a capacity");
        let config = Config { capacity, ttl: ms(100), stale_for: ms(stale_for) };
        TtlCache::new(config).expect("100 ms is a ttl")
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_begins_with_the_arrival() {
        let cache = cache(10, 50);
        let fetch = || async {
            sleep(ms(200)).await;
            Ok(1)
        };
        assert_eq!(cache.get_or_fetch("a", fetch).await.map(|hit| hit.age), Ok(ms(0)));
        sleep(ms(99)).await;
        let hit = cache.get_or_fetch("a", || async { Err("must not be called".to_owned()) }).await;
        assert_eq!(hit, Ok(Hit { value: 1, age: ms(99), fresh: true }));
        sleep(ms(1)).await;
        assert_eq!(cache.get(&"a"), Some(Hit { value: 1, age: ms(100), fresh: false }));
        sleep(ms(50)).await;
        assert_eq!(cache.get(&"a"), None);
        assert!(cache.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_longest_makes_room() {
        let cache = cache(2, 0);
        cache.put("a", 1);
        cache.put("b", 2);
        let _ = cache.get(&"a");
        cache.put("c", 3);
        assert_eq!((cache.len(), cache.get(&"b")), (2, None));
        assert!(cache.get(&"a").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_obsolete_fetch_is_not_kept() {
        let cache = cache(2, 0);
        let fetch = cache.get_or_fetch("a", || async {
            sleep(ms(50)).await;
            Ok(1)
        });
        let invalidates = async {
            sleep(ms(10)).await;
            cache.invalidate(&"a");
        };
        let (fetched, ()) = futures::join!(fetch, invalidates);
        assert_eq!(fetched.map(|hit| hit.value), Ok(1));
        assert_eq!(cache.get(&"a"), None);
    }
}
