//! A cache in front of several sources that follows their changes.
//!
//! ```text
//!            get                          set          pull, every N       updates, as they come
//!             │                            │                 │                      │
//!     fresh? ─┼─ yes ─▶ the value          │                 │                      │
//!             │ no, or none                ▼                 ▼                      ▼
//!     one load for all callers ──▶ ┌──────────────────────────────────────────────────┐
//!     sources by priority, each    │ of each key: the newest value of each source     │
//!     within a time limit          │ the rule chooses: newest, priority, or a merge   │
//!                                  └──────────────────────────────────────────────────┘
//! ```
//!
//! Each source has one task, which pulls and follows its updates. It ends when the source is removed or the cache is
//! dropped. A load of [`get`](crate::multi_source_cache::MultiSourceCache::get) runs inside the futures of its callers.
//!
//! Lesson: `level5/lessons/multi_source_cache.md`.

mod config;
mod entries;
mod follow;
mod source;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level4::single_flight::SingleFlight;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use config::{CacheConfig, ConfigError, MergeFn, Rule, SyncMode, UnknownSource};
pub use source::{
    AllSourcesFailed, CacheSource, Failure, Pushes, SourceError, Stamped, SyncStatus, Update,
};

use crate::conflict::{SourceId, Stamp};
use entries::{Entries, Kept, View};
use source::{AnySource, Asked};

/// The types that can be keys.
///
/// ```
/// use level5::multi_source_cache::CacheKey;
///
/// // Every type with the traits of a key is one.
/// #[derive(Debug, Clone, PartialEq, Eq, Hash)]
/// struct Article {
///     shop: String,
///     number: u32,
/// }
///
/// fn is_key<K: CacheKey>(key: K) -> K {
///     key
/// }
/// assert_eq!(is_key(Article { shop: "oslo".to_owned(), number: 7 }).number, 7);
/// ```
// starter: keep
pub trait CacheKey: Hash + Eq + Clone + Send + Sync + 'static {}
// starter: keep
impl<K: Hash + Eq + Clone + Send + Sync + 'static> CacheKey for K {}

/// The types that can be values.
///
/// ```
/// use std::sync::Arc;
/// use level5::multi_source_cache::CacheValue;
///
/// fn is_value<V: CacheValue>(value: V) -> V {
///     value
/// }
/// // The cache clones a value for each caller: a large one is cheaper in an `Arc`.
/// assert_eq!(is_value(Arc::new(vec![1, 2, 3])).len(), 3);
/// ```
// starter: keep
pub trait CacheValue: Clone + Send + Sync + 'static {}
// starter: keep
impl<V: Clone + Send + Sync + 'static> CacheValue for V {}

/// A value of the cache.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Rule, SyncMode};
/// use tokio::time::sleep;
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
/// # use futures::stream::BoxStream;
/// # use level5::conflict::SourceId;
/// # use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # struct Shop;
/// # impl CacheSource<&'static str, u32> for Shop {
/// #     fn id(&self) -> SourceId {
/// #         SourceId::new("shop")
/// #     }
/// #     fn priority(&self) -> u8 {
/// #         1
/// #     }
/// #     async fn load(&self, key: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
/// #         let at = jiff::Timestamp::UNIX_EPOCH;
/// #         let price = Stamped { value: 42, at, version: 0, ttl: None };
/// #         Ok((*key == "price").then_some(price))
/// #     }
/// #     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
/// #         None
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Shop, SyncMode::Pull { every: Duration::from_secs(600) })?;
/// cache.get(&"price", None).await?;
/// sleep(Duration::from_secs(10)).await;
/// let price = cache.get(&"price", None).await?.unwrap();
/// assert_eq!((price.value, price.age), (42, Duration::from_secs(10)));
/// assert!(price.stale.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached<V> {
    /// The value.
    pub value: V,
    /// The stamp of the value; of a merged one, that of its newest part.
    pub stamp: Stamp,
    /// The time since it arrived or was confirmed by a load.
    pub age: Duration,
    /// Why an older value is returned although a load was needed: no source had a value, and some have failed. `None`
    /// for every other value.
    pub stale: Option<Arc<AllSourcesFailed>>,
}

/// The effect of a [`set`](MultiSourceCache::set).
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Rule, SetOutcome, SyncMode};
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
/// # use futures::stream::BoxStream;
/// # use level5::conflict::SourceId;
/// # use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # struct Shop;
/// # impl CacheSource<&'static str, u32> for Shop {
/// #     fn id(&self) -> SourceId {
/// #         SourceId::new("shop")
/// #     }
/// #     fn priority(&self) -> u8 {
/// #         1
/// #     }
/// #     async fn load(&self, key: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
/// #         let at = jiff::Timestamp::UNIX_EPOCH;
/// #         let price = Stamped { value: 42, at, version: 0, ttl: None };
/// #         Ok((*key == "price").then_some(price))
/// #     }
/// #     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
/// #         None
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Shop, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// let shop = SourceId::new("shop");
/// let price = |value, at: &str| {
///     at.parse().map(|at| Stamped { value, at, version: 0, ttl: None })
/// };
/// let outcome = cache.set("price", price(43, "2026-11-28T12:00:00Z")?, &shop)?;
/// assert_eq!(outcome, SetOutcome::Stored);
/// let outcome = cache.set("price", price(41, "2026-11-28T11:00:00Z")?, &shop)?;
/// assert_eq!(outcome, SetOutcome::Superseded { by: shop }); // the newer one counts
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetOutcome<V> {
    /// The value that was set counts.
    Stored,
    /// The rule is [`Rule::Merge`], and other sources have values too. This is the merged value, which counts now.
    Merged(V),
    /// Another value counts, and not the one that was set.
    Superseded {
        /// The source of the value that counts. It is the one of the `set` if that has delivered a newer value.
        by: SourceId,
    },
}

/// A cache in front of several sources.
///
/// The cache keeps for each key the newest value of each source, and its [`Rule`] chooses from them. The choice does
/// not depend on the order in which the values arrived.
///
/// # Cancellation
///
/// Dropping the cache ends the tasks of its sources, with their pulls and their streams.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Rule, SyncMode};
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
/// # use futures::stream::BoxStream;
/// # use level5::conflict::SourceId;
/// # use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # struct Shop;
/// # impl CacheSource<&'static str, u32> for Shop {
/// #     fn id(&self) -> SourceId {
/// #         SourceId::new("shop")
/// #     }
/// #     fn priority(&self) -> u8 {
/// #         1
/// #     }
/// #     async fn load(&self, key: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
/// #         let at = jiff::Timestamp::UNIX_EPOCH;
/// #         let price = Stamped { value: 42, at, version: 0, ttl: None };
/// #         Ok((*key == "price").then_some(price))
/// #     }
/// #     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
/// #         None
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Shop` has one price.
/// let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Shop, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// assert_eq!(cache.get(&"price", None).await?.unwrap().value, 42);
/// assert_eq!(cache.get(&"stock", None).await?, None);
/// assert!(cache.remove_source(&SourceId::new("shop")));
/// # Ok(())
/// # }
/// ```
pub struct MultiSourceCache<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    /// The loads under way, which callers join. They own `shared`, and this map has weak references to them.
    loads: SingleFlight<K, Option<View<V>>, AllSourcesFailed>,
    /// Apart from `shared`, which the tasks own: a task that owned its own handle would keep itself alive. They end
    /// with the cache, and with them the last owners of the rest. A lock of its own, held across `add_source` and
    /// `remove_source`, and taken before that of the state.
    tasks: Mutex<BTreeMap<SourceId, AbortOnDropHandle<()>>>,
}

/// The parts that the cache shares with its tasks.
struct Shared<K, V> {
    config: CacheConfig<V>,
    /// A std lock: it is held for a few steps and never across an await point. No source is asked under it.
    state: Mutex<State<K, V>>,
}

/// The entries and the sources, under one lock: whether a source is still registered and whether its value is kept is
/// one question. With two locks an answer could be kept just after its source was removed.
struct State<K, V> {
    entries: Entries<K, V>,
    sources: BTreeMap<SourceId, Registered<K, V>>,
    /// Numbers the registrations: a source that is removed and added again is another one.
    registrations: u64,
}

/// A source that was added.
struct Registered<K, V> {
    /// Tells this registration from an earlier one with the same id.
    number: u64,
    /// As it was when the source was added: the source's own code does not run under the lock.
    priority: u8,
    /// Shared with the loads that ask it, which go on without the lock.
    source: Arc<dyn AnySource<K, V>>,
    status: SyncStatus,
}

impl<K: CacheKey, V: CacheValue> fmt::Debug for MultiSourceCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiSourceCache").finish_non_exhaustive()
    }
}

impl<K: CacheKey, V: CacheValue> MultiSourceCache<K, V> {
    /// Makes an empty cache without sources.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a `ttl` or a `load_timeout` of zero. Every other time is accepted.
    pub fn new(config: CacheConfig<V>) -> Result<Self, ConfigError> {
        config.check()?;
        let entries = Entries::new(config.capacity);
        let state = State { entries, sources: BTreeMap::new(), registrations: 0 };
        let shared = Arc::new(Shared { config, state: Mutex::new(state) });
        Ok(Self { shared, loads: SingleFlight::new(), tasks: Mutex::default() })
    }

    /// Adds a source and starts its task. The first pull comes after one interval.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for an interval of zero, for a source with the id of another one, and for a source without
    /// updates with [`SyncMode::Push`] or [`SyncMode::Hybrid`]. The cache is as before.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn add_source(
        &self,
        source: impl CacheSource<K, V>,
        mode: SyncMode,
    ) -> Result<(), ConfigError> {
        mode.check()?;
        // Before anything is registered, since it panics where there is no runtime.
        let runtime = Handle::current();
        let source: Arc<dyn AnySource<K, V>> = Arc::new(source);
        let (id, priority) = (source.id(), source.priority());
        // Before anything is registered: a source without updates leaves no trace, and no lock is held while the
        // source's own code runs.
        let updates = if mode.pushes() {
            let Some(updates) = source.updates() else { return Err(ConfigError::NoUpdates(id)) };
            Some(updates)
        } else {
            None
        };
        let pushes = if updates.is_some() { Pushes::Live } else { Pushes::None };
        // Held across the registration and the start: a removal in between would find the source and no task, and the
        // task that starts afterwards would follow a source that is gone.
        let mut tasks = lock(&self.tasks);
        let number = {
            let mut state = lock(&self.shared.state);
            if state.sources.contains_key(&id) {
                return Err(ConfigError::DuplicateSource(id));
            }
            state.registrations += 1;
            let number = state.registrations;
            let status = SyncStatus { pushes, lost: 0, failed_pulls: 0 };
            // The new source may have what no other had. A load that is under way asks it too, or sees in its last
            // step that not all sources were asked.
            state.entries.forget_missing();
            let source = Arc::clone(&source);
            state.sources.insert(id.clone(), Registered { number, priority, source, status });
            number
        };
        let asked = Asked { id: id.clone(), number, source };
        let work = follow::run(Arc::clone(&self.shared), asked, mode.interval(), updates);
        // Still under the lock of the tasks, but not under that of the state, which a new task needs at once.
        tasks.insert(id, AbortOnDropHandle::new(runtime.spawn(work)));
        Ok(())
    }

    /// Removes a source with its task and its values. Returns whether there was one.
    ///
    /// A load that is under way does not ask the source any more, and does not keep a later answer of it.
    pub fn remove_source(&self, id: &SourceId) -> bool {
        let mut tasks = lock(&self.tasks);
        let removed = {
            let mut state = lock(&self.shared.state);
            // Both in one step. The values go into a variable, so that they are dropped at the end of the function.
            let removed = state.sources.remove(id);
            let values = removed.as_ref().map(|_| state.entries.forget_source(id));
            (removed, values)
        };
        let task = tasks.remove(id);
        drop(tasks);
        // Outside of the locks: destructors of sources, streams and values are the caller's code, which may use the
        // cache.
        drop(task);
        removed.0.is_some()
    }

    /// Returns how a source is followed. `None` if there is no such source.
    #[must_use]
    pub fn status(&self, id: &SourceId) -> Option<SyncStatus> {
        lock(&self.shared.state).sources.get(id).map(|registered| registered.status)
    }

    /// Returns the value of `key`, or `None` if no source has one.
    ///
    /// A value whose age is less than its ttl and less than `max_age` is returned as it is. Otherwise the cache asks
    /// the sources, once for all callers that wait for the key: by priority, until one has a value. It passes over a
    /// source that fails, panics or takes longer than the `load_timeout`.
    ///
    /// If every source has answered that it has no value, the cache remembers that for the `missing_ttl`. A caller
    /// accepts it while its age is less than `max_age` too.
    ///
    /// # Errors
    ///
    /// [`AllSourcesFailed`] if a load finds no value, a source has failed, and there is no older value either. An
    /// older value is returned as [stale](Cached::stale).
    ///
    /// # Panics
    ///
    /// If the function of [`Rule::Merge`] does.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. The load goes on while at least one caller waits for it, and
    /// is dropped with the last one.
    pub async fn get(
        &self,
        key: &K,
        max_age: Option<Duration>,
    ) -> Result<Option<Cached<V>>, AllSourcesFailed> {
        // Without a limit of the caller the ttl alone decides.
        let limit = max_age.unwrap_or(Duration::MAX);
        let began = Instant::now();
        match self.shared.known(key, limit) {
            Known::Value(view) => return Ok(Some(self.shared.cached(view, None))),
            Known::Missing => return Ok(None),
            Known::No => {}
        }
        // The load owns its parts: it goes on in the future of another caller when this one is dropped. It keeps values
        // itself, so each answer is kept once, when it arrives.
        let (shared, loads) = (Arc::clone(&self.shared), key.clone());
        let work = move || async move { shared.load(loads).await };
        match self.loads.run(key.clone(), work).await {
            Ok(view) => Ok(view.map(|view| self.shared.cached(view, None))),
            // Not inside the load: the error is the result of the load, and whether there is an older value is looked
            // up when the caller gets it.
            Err(failed) => match self.shared.any(key) {
                // It was set or pushed since the call: no source has failed to confirm it.
                Some(view) if view.since > began && view.since.elapsed() < view.ttl => {
                    Ok(Some(self.shared.cached(view, None)))
                }
                Some(view) => Ok(Some(self.shared.cached(view, Some(Arc::new(failed))))),
                None => Err(failed),
            },
        }
    }

    /// Offers a value that the source `from` has for `key`. Its age begins now.
    ///
    /// # Errors
    ///
    /// [`UnknownSource`]: the cache has no such source.
    ///
    /// # Panics
    ///
    /// If the function of [`Rule::Merge`] does. The value is kept.
    pub fn set(
        &self,
        key: K,
        value: Stamped<V>,
        from: &SourceId,
    ) -> Result<SetOutcome<V>, UnknownSource> {
        let stamp = value.stamp(from.clone());
        let (view, replaced) = {
            let mut guard = lock(&self.shared.state);
            let state = &mut *guard;
            if !state.sources.contains_key(from) {
                return Err(UnknownSource(from.clone()));
            }
            let kept = self.shared.arrives(value, from);
            let replaced = state.entries.offer(key.clone(), kept);
            // After the offer: before it, the key may have no entry.
            state.entries.used(&key);
            // Under the same lock, so the outcome is that of this offer and not of one that came after it.
            (self.shared.view(state, &key), replaced)
        };
        drop(replaced); // outside of the lock: a value's destructor is the caller's code
        let Some(view) = view else { return Ok(SetOutcome::Stored) };
        // First the source's own newer value: of a merge it is a part, and what was set is not.
        if let Some(older) =
            view.parts.iter().find(|part| part.stamp.source == *from && part.stamp > stamp)
        {
            return Ok(SetOutcome::Superseded { by: older.stamp.source.clone() });
        }
        if view.stamp.source == *from && view.parts.len() == 1 {
            return Ok(SetOutcome::Stored);
        }
        if matches!(self.shared.config.rule, Rule::Merge(_)) {
            // Outside of the lock, since it is the user's function.
            return Ok(SetOutcome::Merged(self.shared.config.rule.value(&view)));
        }
        Ok(SetOutcome::Superseded { by: view.stamp.source })
    }

    /// Returns how many keys are kept, at most the capacity. Those that are missing everywhere count.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared.state).entries.len()
    }

    /// Returns whether no key is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answer to a caller without a load.
enum Known<V> {
    Value(View<V>),
    Missing,
    No,
}

impl<K: CacheKey, V: CacheValue> Shared<K, V> {
    /// The answer to a caller without a load, if its age is less than `limit`.
    fn known(&self, key: &K, limit: Duration) -> Known<V> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        // A question is a use, whether or not the value is fresh: otherwise the key could go while it is loaded again.
        state.entries.used(key);
        if let Some(view) = self.view(&state, key) {
            let age = now.duration_since(view.since);
            return if age < view.ttl.min(limit) { Known::Value(view) } else { Known::No };
        }
        // Only if there is no value: a value ends what was missing.
        let missing = state.entries.missing(key).map(|since| now.duration_since(since));
        match missing {
            Some(age) if age < self.config.missing_ttl.min(limit) => Known::Missing,
            _ => Known::No,
        }
    }

    /// The value of a key, of any age.
    fn any(&self, key: &K) -> Option<View<V>> {
        self.view(&lock(&self.state), key)
    }

    /// The choice of the rule at this moment. A merge is not calculated here, under the lock: its function is the
    /// user's code. It gets the parts later, as they are now.
    fn view(&self, state: &State<K, V>, key: &K) -> Option<View<V>> {
        let priority = |id: &SourceId| state.sources.get(id).map(|known| known.priority);
        state.entries.view(key, &self.config.rule, Instant::now(), priority)
    }

    /// The answer to a caller, which counts the age of a view at the moment of the answer.
    fn cached(&self, view: View<V>, stale: Option<Arc<AllSourcesFailed>>) -> Cached<V> {
        let value = self.config.rule.value(&view);
        Cached { value, stamp: view.stamp, age: view.since.elapsed(), stale }
    }

    /// A value as the entries keep it. Called under the lock, so that arrivals are in the order of the offers.
    fn arrives(&self, value: Stamped<V>, from: &SourceId) -> Kept<V> {
        let ttl = value.ttl.unwrap_or(self.config.ttl);
        let (stamp, value) = (value.stamp(from.clone()), Arc::new(value.value));
        Kept { stamp, value, ttl, arrived: Instant::now() }
    }

    /// Asks the sources by priority until one has a value. One after the other: a source of a low priority is asked
    /// only if those above it have nothing.
    async fn load(&self, key: K) -> Result<Option<View<V>>, AllSourcesFailed> {
        // By the numbers of registrations and not by ids: a source that is removed and added again is asked as a new
        // one.
        let (mut failures, mut asked) = (Vec::new(), BTreeSet::new());
        let mut found = false;
        while !found && let Some(source) = self.next(&asked) {
            asked.insert(source.number);
            match self.ask(&source, &key).await {
                Ok(has) => found = has,
                Err(failure) => failures.push((source.id, failure)),
            }
        }
        // Nothing is noted: a source that failed may have a value, so the key is not missing, and what is known of it
        // is not confirmed.
        if !found && !failures.is_empty() {
            return Err(AllSourcesFailed { failures });
        }
        let (view, gone) = {
            let mut state = lock(&self.state);
            // Compared with the sources of this moment, in the step that notes it: a source that was added during the
            // load was perhaps not asked, and one that is added afterwards takes out the missing keys itself.
            let all = !found && state.sources.values().all(|known| asked.contains(&known.number));
            let gone = state.entries.loaded(key.clone(), all, Instant::now());
            // A value may be there although no source has one: it was set while they were asked.
            (self.view(&state, &key), gone)
        };
        drop(gone); // outside of the lock: destructors of values are the caller's code
        Ok(view)
    }

    /// The source with the highest priority among those that were not asked yet, of equal ones that of the first id.
    /// Looked up before each question: a source may be removed or added while another one is asked.
    fn next(&self, asked: &BTreeSet<u64>) -> Option<Asked<K, V>> {
        let state = lock(&self.state);
        let open = state.sources.iter().filter(|(_, known)| !asked.contains(&known.number));
        // The map is sorted by the ids, and the first of equal ones is the least.
        let (id, known) = open.min_by_key(|(_, known)| Reverse(known.priority))?;
        // A handle, because the lock ends here and the question may take seconds.
        Some(Asked { id: id.clone(), number: known.number, source: Arc::clone(&known.source) })
    }

    /// Asks one source for a key, and keeps its answer. Returns whether the cache has a value of it.
    async fn ask(&self, asked: &Asked<K, V>, key: &K) -> Result<bool, Failure> {
        // Before the question: what arrives after this moment may be newer than the answer.
        let began = Instant::now();
        let answer = asked.load(key.clone(), self.config.load_timeout).await?;
        let has = answer.is_some();
        let replaced = {
            let mut state = lock(&self.state);
            // The source was removed in the meantime, or is another one of the same id: its answer does not count.
            if state.sources.get(&asked.id).is_none_or(|known| known.number != asked.number) {
                return Ok(false);
            }
            match answer {
                Some(value) => state.entries.offer(key.clone(), self.arrives(value, &asked.id)),
                // It leaves a value that was set or pushed since the question: the answer may be older than that value.
                None => state.entries.withdraw(key, &asked.id, began),
            }
        };
        drop(replaced); // outside of the lock
        Ok(has)
    }
}

/// Locks, also after a panic. Of the user's code `Hash`, `Eq`, `clone` and the destructor of a key run under the lock.
/// A panic there ends its own call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
