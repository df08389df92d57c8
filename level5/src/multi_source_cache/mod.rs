//! A cache in front of several sources that follows their changes.
//!
//! ```text
//!            get                          set          pull, every N       updates, as they come
//!             │                            │                 │                      │
//!     fresh? ─┼─ yes ─▶ the value          │                 │                      │
//!             │ no, or none                ▼                 ▼                      ▼
//!     one load for all who ask ──▶ ┌──────────────────────────────────────────────────┐
//!     sources by priority, each    │ of each key: the newest value of each source     │
//!     within a time limit          │ the rule chooses: newest, priority, or a merge   │
//!                                  └──────────────────────────────────────────────────┘
//! ```
//!
//! Each source has one task, which pulls and follows its updates. It ends when the source is removed or the cache is
//! dropped. A load of [`get`](crate::multi_source_cache::MultiSourceCache::get) runs inside of its callers.
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

/// What can be a key.
// starter: keep
pub trait CacheKey: Hash + Eq + Clone + Send + Sync + 'static {}
// starter: keep
impl<K: Hash + Eq + Clone + Send + Sync + 'static> CacheKey for K {}

/// What can be a value.
// starter: keep
pub trait CacheValue: Clone + Send + Sync + 'static {}
// starter: keep
impl<V: Clone + Send + Sync + 'static> CacheValue for V {}

/// A value of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached<V> {
    /// The value.
    pub value: V,
    /// The stamp of the value; of a merged one, that of its newest part.
    pub stamp: Stamp,
    /// The time since it arrived or was confirmed by a load.
    pub age: Duration,
    /// Why a value that should have been loaded again is returned as it is: no source had an answer. `None` for every
    /// other value.
    pub stale: Option<Arc<AllSourcesFailed>>,
}

/// What a [`set`](MultiSourceCache::set) has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetOutcome<V> {
    /// The value counts now.
    Stored,
    /// The rule is [`Rule::Merge`], and other sources have values too: this is what counts now.
    Merged(V),
    /// The value of this source counts, and not the one that was set.
    Superseded {
        /// The source. It is the value's own source if that has delivered a newer one.
        by: SourceId,
    },
}

/// A cache of the values that several sources have.
///
/// The cache keeps for each key the newest value of each source, and its [`Rule`] chooses from them. The choice does
/// not depend on the order in which the values arrived.
///
/// # Cancellation
///
/// Dropping the cache ends the tasks of its sources, with their pulls and their streams.
pub struct MultiSourceCache<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    loads: SingleFlight<K, Option<View<V>>, AllSourcesFailed>,
    /// Apart from `shared`, which the tasks hold: with the cache they go, and with them the last owners of the rest.
    tasks: Mutex<BTreeMap<SourceId, AbortOnDropHandle<()>>>,
}

/// What the cache and its tasks hold together.
struct Shared<K, V> {
    config: CacheConfig<V>,
    state: Mutex<State<K, V>>,
}

/// One lock for both: whether a source is still registered and whether its value is kept is one question.
struct State<K, V> {
    entries: Entries<K, V>,
    sources: BTreeMap<SourceId, Registered<K, V>>,
    /// Numbers the registrations: a source that is removed and added again is another one.
    registrations: u64,
}

struct Registered<K, V> {
    number: u64,
    /// As it was when the source was added: the source's own code does not run under the lock.
    priority: u8,
    source: Arc<dyn AnySource<K, V>>,
    status: SyncStatus,
}

impl<K: CacheKey, V: CacheValue> fmt::Debug for MultiSourceCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiSourceCache").finish_non_exhaustive()
    }
}

impl<K: CacheKey, V: CacheValue> MultiSourceCache<K, V> {
    /// An empty cache without sources.
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
    /// updates that is to be followed by them. The cache is as before.
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
        // Held across the registration and the start: a removal in between would miss the task.
        let mut tasks = lock(&self.tasks);
        let number = {
            let mut state = lock(&self.shared.state);
            if state.sources.contains_key(&id) {
                return Err(ConfigError::DuplicateSource(id));
            }
            state.registrations += 1;
            let number = state.registrations;
            let status = SyncStatus { pushes, lost: 0, failed_pulls: 0 };
            // What no source had, this one may have.
            state.entries.forget_missing();
            let source = Arc::clone(&source);
            state.sources.insert(id.clone(), Registered { number, priority, source, status });
            number
        };
        let asked = Asked { id: id.clone(), number, source };
        let work = follow::run(Arc::clone(&self.shared), asked, mode.interval(), updates);
        tasks.insert(id, AbortOnDropHandle::new(runtime.spawn(work)));
        Ok(())
    }

    /// Removes a source with its task and its values. Returns whether there was one.
    ///
    /// A load that is on its way does not ask it any more, and does not keep what it answers afterwards.
    pub fn remove_source(&self, id: &SourceId) -> bool {
        let mut tasks = lock(&self.tasks);
        let removed = {
            let mut state = lock(&self.shared.state);
            let removed = state.sources.remove(id);
            let values = removed.as_ref().map(|_| state.entries.forget_source(id));
            (removed, values)
        };
        let task = tasks.remove(id);
        drop(tasks);
        // Outside of the locks: destructors of sources and values are the caller's code.
        drop(task);
        removed.0.is_some()
    }

    /// How a source is followed. `None` if there is no such source.
    #[must_use]
    pub fn status(&self, id: &SourceId) -> Option<SyncStatus> {
        lock(&self.shared.state).sources.get(id).map(|registered| registered.status)
    }

    /// The value of `key`, or `None` if no source has one.
    ///
    /// A value whose age is less than its ttl and less than `max_age` is returned as it is. For every other one the
    /// sources are asked, once for all callers who wait for the key: by priority, until one has a value. A source
    /// that fails, panics or takes longer than the `load_timeout` is passed over.
    ///
    /// That every source has no value for the key is remembered for the `missing_ttl`, and also no longer than
    /// `max_age`.
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
    /// Before its first poll the future has done nothing. The load goes on while one caller waits for it, and is
    /// dropped with the last one.
    pub async fn get(
        &self,
        key: &K,
        max_age: Option<Duration>,
    ) -> Result<Option<Cached<V>>, AllSourcesFailed> {
        let limit = max_age.unwrap_or(Duration::MAX);
        match self.shared.known(key, limit) {
            Known::Value(view) => return Ok(Some(self.shared.cached(view, None))),
            Known::Missing => return Ok(None),
            Known::No => {}
        }
        let (shared, loads) = (Arc::clone(&self.shared), key.clone());
        let work = move || async move { shared.load(loads).await };
        match self.loads.run(key.clone(), work).await {
            Ok(view) => Ok(view.map(|view| self.shared.cached(view, None))),
            Err(failed) => match self.shared.any(key) {
                Some(view) => Ok(Some(self.shared.cached(view, Some(Arc::new(failed))))),
                None => Err(failed),
            },
        }
    }

    /// Offers a value that `from` has for `key`. It arrives now.
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
            state.entries.used(&key);
            (self.shared.view(state, &key), replaced)
        };
        drop(replaced);
        let Some(view) = view else { return Ok(SetOutcome::Stored) };
        if let Some(older) =
            view.parts.iter().find(|part| part.stamp.source == *from && part.stamp > stamp)
        {
            return Ok(SetOutcome::Superseded { by: older.stamp.source.clone() });
        }
        if view.stamp.source == *from && view.parts.len() == 1 {
            return Ok(SetOutcome::Stored);
        }
        if matches!(self.shared.config.rule, Rule::Merge(_)) {
            return Ok(SetOutcome::Merged(self.shared.config.rule.value(&view)));
        }
        Ok(SetOutcome::Superseded { by: view.stamp.source })
    }

    /// How many keys are kept, at most the capacity. Those that are missing everywhere count.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared.state).entries.len()
    }

    /// Whether no key is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is known of a key without a load.
enum Known<V> {
    Value(View<V>),
    Missing,
    No,
}

impl<K: CacheKey, V: CacheValue> Shared<K, V> {
    /// What a caller gets without a load, if its age may be less than `limit`.
    fn known(&self, key: &K, limit: Duration) -> Known<V> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.entries.used(key);
        if let Some(view) = self.view(&state, key) {
            let age = now.duration_since(view.since);
            return if age < view.ttl.min(limit) { Known::Value(view) } else { Known::No };
        }
        let missing = state.entries.missing(key).map(|since| now.duration_since(since));
        match missing {
            Some(age) if age < self.config.missing_ttl.min(limit) => Known::Missing,
            _ => Known::No,
        }
    }

    /// What there is of a key, whatever its age.
    fn any(&self, key: &K) -> Option<View<V>> {
        self.view(&lock(&self.state), key)
    }

    /// The choice of the rule, at this moment. A merge is not calculated here, under the lock: it is foreign code.
    fn view(&self, state: &State<K, V>, key: &K) -> Option<View<V>> {
        let priority = |id: &SourceId| state.sources.get(id).map(|known| known.priority);
        state.entries.view(key, &self.config.rule, Instant::now(), priority)
    }

    fn cached(&self, view: View<V>, stale: Option<Arc<AllSourcesFailed>>) -> Cached<V> {
        let value = self.config.rule.value(&view);
        Cached { value, stamp: view.stamp, age: view.since.elapsed(), stale }
    }

    fn arrives(&self, value: Stamped<V>, from: &SourceId) -> Kept<V> {
        let ttl = value.ttl.unwrap_or(self.config.ttl);
        Kept { stamp: value.stamp(from.clone()), value: value.value, ttl, arrived: Instant::now() }
    }

    /// Asks the sources by priority until one has a value.
    async fn load(&self, key: K) -> Result<Option<View<V>>, AllSourcesFailed> {
        let (mut failures, mut asked) = (Vec::new(), BTreeSet::new());
        let mut found = false;
        while !found && let Some(source) = self.next(&asked) {
            asked.insert(source.number);
            match self.ask(&source, &key).await {
                Ok(has) => found = has,
                Err(failure) => failures.push((source.id, failure)),
            }
        }
        if !found && !failures.is_empty() {
            return Err(AllSourcesFailed { failures });
        }
        let (view, gone) = {
            let mut state = lock(&self.state);
            // In the same step: a source that is added afterwards takes out what is known to be missing.
            let all = !found && state.sources.values().all(|known| asked.contains(&known.number));
            let gone = state.entries.loaded(key.clone(), all, Instant::now());
            // A value may be there although no source has one: it was set while they were asked.
            (self.view(&state, &key), gone)
        };
        drop(gone); // outside of the lock: destructors of values are the caller's code
        Ok(view)
    }

    /// Of the sources that were not asked yet the one with the highest priority, of equal ones that of the first id.
    /// Looked up for each question: a source may be removed or added while another one is asked.
    fn next(&self, asked: &BTreeSet<u64>) -> Option<Asked<K, V>> {
        let state = lock(&self.state);
        let open = state.sources.iter().filter(|(_, known)| !asked.contains(&known.number));
        // The map is sorted by the ids, and the first of equal ones is the least.
        let (id, known) = open.min_by_key(|(_, known)| Reverse(known.priority))?;
        Some(Asked { id: id.clone(), number: known.number, source: Arc::clone(&known.source) })
    }

    /// Asks one source for a key, and keeps its answer. Returns whether the cache has a value of it.
    async fn ask(&self, asked: &Asked<K, V>, key: &K) -> Result<bool, Failure> {
        let began = Instant::now();
        let answer = asked.load(key.clone(), self.config.load_timeout).await?;
        let has = answer.is_some();
        let replaced = {
            let mut state = lock(&self.state);
            // A source that was removed meanwhile, or is another one by now, has no say any more.
            if state.sources.get(&asked.id).is_none_or(|known| known.number != asked.number) {
                return Ok(false);
            }
            match answer {
                Some(value) => state.entries.offer(key.clone(), self.arrives(value, &asked.id)),
                // Not what was set or pushed since the question: the answer may be from before it.
                None => state.entries.withdraw(key, &asked.id, began),
            }
        };
        drop(replaced);
        Ok(has)
    }
}

/// Of the caller's code only `Hash` and `Eq` of a key and `clone` of a key or a value run under the lock. A panic there
/// costs its own call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
