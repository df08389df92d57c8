//! An engine that keeps the records of several sources in step.
//!
//! ```text
//!   source a ──polls──▶ ┌─────────────────────────────┐ ──▶ changes     (broadcast)
//!   source b ──polls──▶ │ of each record:             │ ──▶ conflicts   (broadcast)
//!   source c ──polls──▶ │  the newest of each source  │ ──▶ metrics     (watch)
//!                       │  the rule decides           │
//!   get, get_many ────▶ │  versions, deletions        │ ◀──▶ store
//!     fetch what is     └─────────────────────────────┘
//!     too old, once         │ conflict        ▲
//!                           ▼                 │
//!                     a program, or a person: decide
//! ```
//!
//! What counts follows from the newest record of each source, and not from the order in which they arrived: see
//! [`crate::conflict`].
//!
//! There is one task for each source, one that asks the programs of [`Rule::Ask`](crate::sync_engine::Rule), and one
//! that saves. They end with the engine. A fetch of [`get`](crate::sync_engine::Engine::get) runs inside of its
//! readers.
//!
//! Lesson: `level5/lessons/sync_engine.md`.

mod config;
mod entry;
mod fetches;
mod metrics;
mod pace;
mod record;
mod shared;
mod source;
mod state;
mod store;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

pub use config::{
    Config, ConfigError, Conflict, MOST_BUFFERED, NotDecided, Pick, Resolve, Rule, SourceMeta,
};
pub use metrics::{SourceMetrics, SyncMetrics};
pub use pace::interval;
pub use record::{Change, Incoming, NotFetched, Read, RecordId};
pub use source::Source;
pub use store::{MemoryStore, Saved, Store, StoreError};

use crate::conflict::{Resolved, SourceId};
use crate::wall_clock::WallClock;
use entry::picked;
use fetches::{Fetched, Fetches};
use pace::Pace;
use shared::Shared;
use source::AnySource;

/// The work that a shutdown has left undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The sources whose polls were dropped at the deadline.
    pub dropped_polls: Vec<SourceId>,
    /// The conflicts that a program was asked about and has not answered.
    pub unanswered: usize,
    /// The records whose last state is not saved.
    pub unsaved: usize,
}

/// Keeps the records of several sources in step.
///
/// # Cancellation
///
/// Dropping the engine ends its tasks, with their polls, questions and saves. What was not saved until then is lost. To
/// keep it, call [`shutdown`](Self::shutdown) or [`flush`](Self::flush) before.
pub struct Engine {
    shared: Arc<Shared>,
    /// The fetches of readers. No task drives them, so they are not among the tasks.
    fetches: Fetches,
    /// Apart from `shared`, which the tasks hold. If the handles were in there too, each would keep the other alive,
    /// and a dropped engine would go on polling.
    ///
    /// This lock is taken before that of the state, never after it.
    tasks: Mutex<Tasks>,
}

/// The handles of the tasks. Each aborts its task when it is dropped.
struct Tasks {
    /// By source, so that a removal can abort the one poll.
    polls: BTreeMap<SourceId, AbortOnDropHandle<()>>,
    /// `None` after the shutdown, which takes them to wait for their ends.
    questions: Option<AbortOnDropHandle<()>>,
    saves: Option<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts an engine without sources, with the records of the store.
    ///
    /// Records beyond the capacity are not taken from the store. A conflict that was open is parked.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a `ttl` or a `fetch_timeout` of zero, for more `buffered` than [`MOST_BUFFERED`], and if
    /// the store cannot be read. Every other time is accepted.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// A dropped future has started nothing.
    pub async fn start(
        config: Config,
        store: impl Store,
        wall: impl WallClock,
    ) -> Result<Self, ConfigError> {
        // What can fail or wait comes before the first spawn: an engine that does not start leaves no task.
        config.check()?;
        let saved = store.load().await?;
        // Unbounded, because the state sends under its lock, where it cannot wait for room.
        let (asks, questions) = mpsc::unbounded_channel();
        let shared = Shared::new(config, Box::new(wall), Box::new(store), saved, asks);
        let shared = Arc::new(shared);
        let questions = tokio::spawn(tasks::questions(Arc::clone(&shared), questions));
        let saves = tokio::spawn(tasks::saves(Arc::clone(&shared)));
        let tasks = Mutex::new(Tasks {
            polls: BTreeMap::new(),
            questions: Some(AbortOnDropHandle::new(questions)),
            saves: Some(AbortOnDropHandle::new(saves)),
        });
        Ok(Self { shared, fetches: Fetches::default(), tasks })
    }

    /// Adds a source, and polls it at once and from then on.
    ///
    /// After a poll that was answered, the next one is due one [`interval`] after the beginning of that poll, with
    /// its length as the latency. Intervals that have passed before the poll has ended are skipped. After a failure
    /// the wait counts from its end: the interval, doubled for each failure in a row, at most ten times
    /// [`every`](SourceMeta::every). A source is not polled twice at the same time.
    ///
    /// What counts of all records is decided again with the standing of the source.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for an interval of zero, for the id of another source, and after the shutdown. The engine is
    /// as before.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn add_source(&self, source: impl Source, meta: SourceMeta) -> Result<(), ConfigError> {
        let id = source.id();
        if meta.every.is_zero() {
            return Err(ConfigError::ZeroInterval(id));
        }
        // Before anything is registered, since it panics where there is no runtime.
        let runtime = Handle::current();
        let source: Arc<dyn AnySource> = Arc::new(source);
        // Held across the registration and the start: a removal in between would miss the task.
        let mut tasks = lock(&self.tasks);
        let asked = {
            let mut state = lock(&self.shared.state);
            // The shutdown cancels `closing` under the lock of the tasks: it either finds this poll, or is seen here.
            if state.is_closed() || self.shared.closing.is_cancelled() {
                return Err(ConfigError::Closed);
            }
            if state.sources.contains_key(&id) {
                return Err(ConfigError::DuplicateSource(id));
            }
            state.register(&id, meta.standing, source, &self.shared.config)
        };
        self.shared.unsaved.notify_one();
        let pace = Pace::new(meta.every, meta.latency, meta.standing.priority);
        let polls = tasks::polls(Arc::clone(&self.shared), asked, pace);
        tasks.polls.insert(id, AbortOnDropHandle::new(runtime.spawn(polls)));
        Ok(())
    }

    /// Removes a source, and drops its poll. Returns whether a source with this id was registered.
    ///
    /// What it has delivered stays, and ranks below the records of all sources that are registered. What it answers
    /// afterwards to a fetch that is under way is not kept.
    pub fn remove_source(&self, id: &SourceId) -> bool {
        // Both under the lock of the tasks: an `add_source` with this id would otherwise come in between, and lose its
        // new task here.
        let mut tasks = lock(&self.tasks);
        let removed = lock(&self.shared.state).unregister(id, &self.shared.config);
        let task = tasks.polls.remove(id);
        drop(tasks);
        self.shared.unsaved.notify_one();
        // Outside of the locks: the destructor of a source is the caller's code.
        drop(task);
        removed.is_some()
    }

    /// Sets the rule of all records that have none of their own, and decides again what counts.
    ///
    /// A conflict that is decided stays so under a rule that leaves conflicts open.
    pub fn set_rule(&self, rule: Rule) {
        let replaced = {
            let mut state = lock(&self.shared.state);
            let replaced = std::mem::replace(&mut state.rule, rule);
            state.has_new_rule();
            // Under the same lock: a record that arrives in between would be decided by the new rule before the older
            // ones, and a reader would see two rules at once.
            state.review_all(&self.shared.config);
            replaced
        };
        self.shared.unsaved.notify_one();
        drop(replaced); // outside of the lock: the destructor of a program is the caller's code
    }

    /// Sets the rule of one record, also of one that is not known yet. `None` removes its rule. The engine decides
    /// again what counts of the record.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooManyRules`] if as many other records as the capacity have rules.
    pub fn set_rule_of(&self, id: &RecordId, rule: Option<Rule>) -> Result<(), ConfigError> {
        let capacity = self.shared.config.capacity.get();
        let replaced = {
            let mut state = lock(&self.shared.state);
            let replaced = match rule {
                None => state.rules.remove(id),
                // Rules may be set for records that never arrive, so the capacity of the records does not bound them.
                Some(_) if state.rules.len() >= capacity && !state.rules.contains_key(id) => {
                    return Err(ConfigError::TooManyRules(capacity));
                }
                Some(rule) => state.rules.insert(id.clone(), rule),
            };
            state.entries.get_mut(id).into_iter().for_each(entry::Entry::has_new_rule);
            state.review(&[id.clone()].into(), &self.shared.config);
            replaced
        };
        self.shared.unsaved.notify_one();
        drop(replaced); // outside of the lock, as in `set_rule`
        Ok(())
    }

    /// Reads what counts of a record.
    ///
    /// If it was confirmed less than `max_age` ago, the engine returns it without a fetch; `None` stands for the `ttl`.
    /// Otherwise the engine asks all sources for it, at the same time and once for all readers that wait for it. A
    /// record is confirmed when the source that it is from delivers it, in a poll or a fetch, and when all sources
    /// answer a fetch of it.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. A fetch goes on while one reader waits for it, and is
    /// dropped with the last one.
    pub async fn get(&self, id: &RecordId, max_age: Option<Duration>) -> Read {
        let mut reads = self.get_many(std::slice::from_ref(id), max_age).await;
        reads.pop().unwrap_or(Read::Missing)
    }

    /// Reads what counts of several records, in the order of `ids`.
    ///
    /// Each is read as by [`get`](Self::get), with one fetch for all records that need one and are in no fetch yet.
    ///
    /// # Cancellation
    ///
    /// As [`get`](Self::get).
    pub async fn get_many(&self, ids: &[RecordId], max_age: Option<Duration>) -> Vec<Read> {
        let limit = max_age.unwrap_or(self.shared.config.ttl);
        // By id: an id that `ids` has twice is read and fetched once.
        let mut reads: BTreeMap<&RecordId, Read> = BTreeMap::new();
        let mut needed = BTreeSet::new();
        for id in ids {
            match self.shared.known(id, limit) {
                Some(read) => drop(reads.insert(id, read)),
                None => drop(needed.insert(id.clone())),
            }
        }
        // Owned and not borrowed: the fetch may outlive this reader, when another one has joined it.
        let shared = Arc::clone(&self.shared);
        let begin = move |ids| async move { shared.fetch(ids).await };
        let runs = self.fetches.join(needed, begin);
        // All of them at once: each fetch goes on only while a reader polls it.
        let fetched = join_all(runs.into_iter().map(async |(id, run)| (id, run.await))).await;
        let fetched: BTreeMap<RecordId, Arc<Fetched>> = fetched.into_iter().collect();
        for id in ids {
            if let Some(fetched) = fetched.get(id) {
                // From the state and not from the fetch: another source or a poll may have delivered something newer.
                reads.insert(id, self.shared.read(id, fetched));
            }
        }
        ids.iter().map(|id| reads.get(id).cloned().unwrap_or(Read::Missing)).collect()
    }

    /// The versions of a record, the oldest first; the last one counts. Each differs in content from the one before it.
    #[must_use]
    pub fn history(&self, id: &RecordId) -> Vec<Resolved> {
        lock(&self.shared.state).entry(id).map_or_else(Vec::new, entry::Entry::history)
    }

    /// The changes from now on. A receiver that falls behind learns how many it has lost.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        lock(&self.shared.state).changes()
    }

    /// The conflicts that are found from now on.
    #[must_use]
    pub fn conflicts(&self) -> broadcast::Receiver<Conflict> {
        lock(&self.shared.state).conflicts()
    }

    /// The figures, as they change. A receiver sees the latest ones.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<SyncMetrics> {
        lock(&self.shared.state).metrics()
    }

    /// The conflicts that wait for a person, by id.
    #[must_use]
    pub fn parked(&self) -> Vec<Conflict> {
        lock(&self.shared.state).parked()
    }

    /// Decides a conflict that is [parked](Self::parked).
    ///
    /// The decision holds until the content of a source changes. It is saved like every change; after
    /// [`flush`](Self::flush) it outlasts the process.
    ///
    /// # Errors
    ///
    /// [`NotDecided`]: the records have changed since `conflict`, or it has no record of the picked source. Nothing
    /// has changed.
    pub fn decide(&self, conflict: &Conflict, pick: Pick) -> Result<(), NotDecided> {
        let Conflict { id, number, .. } = conflict;
        {
            // One lock for the check and the change: records that arrive in between would be decided unseen.
            let mut state = lock(&self.shared.state);
            let open = state.entry(id).and_then(|entry| entry.parked(id));
            // By the engine's own records: the caller may have changed those of `conflict`.
            let Some(open) = open.filter(|open| open.number == *number) else {
                return Err(NotDecided::Outdated { id: id.clone(), number: *number });
            };
            let source = if let Pick::Record(source) = &pick { source.clone() } else { "".into() };
            let Some(resolved) = picked(&open, pick) else {
                return Err(NotDecided::NoSuchSource(source));
            };
            state.change(id, &self.shared.config, |entry, config| {
                entry.decide(resolved, config.versions)
            });
        }
        self.shared.unsaved.notify_one();
        Ok(())
    }

    /// Saves what has changed, and returns when it is saved. The engine also saves by itself, soon after a change.
    ///
    /// # Errors
    ///
    /// The [`StoreError`] of a save that has failed. The engine tries again after a second, and then after ever longer
    /// waits of at most a minute.
    ///
    /// # Cancellation
    ///
    /// A dropped future leaves what is not saved to the next save.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.shared.save().await
    }

    /// Ends the engine in order. From now on no poll and no fetch begins. The engine waits for the polls that are under
    /// way, then for all questions, including those that these polls lead to. It saves what has changed, and ends the
    /// streams. At `deadline`, counted from the call, it drops what has not ended.
    ///
    /// What is known can still be read afterwards. A fetch that is under way ends at once, with
    /// [`NotFetched::Closed`]. A second shutdown has nothing left to do.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the polls and questions that it waits for. Another shutdown does the rest.
    pub async fn shutdown(&self, deadline: Duration) -> Report {
        // One moment for all phases: three waits of `deadline` each could take three times as long. A deadline beyond
        // the clock's range is none.
        let end = Instant::now().checked_add(deadline);
        let (polls, questions, saves) = {
            let mut tasks = lock(&self.tasks);
            // Under the lock of the tasks: a source that is added at this moment is among the polls, or refused.
            self.shared.closing.cancel();
            (std::mem::take(&mut tasks.polls), tasks.questions.take(), tasks.saves.take())
        };
        // From here on this future owns the handles. Dropped at any await below, it aborts the tasks that are left, and
        // no lock is held across an await.
        let polls = polls.into_iter().map(async |(id, poll)| match by(end, poll).await {
            Some(_) => None,
            None => Some(id),
        });
        let dropped_polls = join_all(polls).await.into_iter().flatten().collect();
        // After the polls, because the last one may have asked a program. The channel closes with the last answer, not
        // before: if records have changed since a question, its answer leads to another one.
        lock(&self.shared.state).ask_no_more();
        if let Some(questions) = questions {
            by(end, questions).await;
        }
        // The last save comes after the answers, and by this call itself: the task would wait a second after a failure.
        // The drop aborts the task. A save that it has begun returns its records to the next one, which is this.
        drop(saves);
        by(end, self.flush()).await;
        let (outlets, unanswered) = {
            let mut state = lock(&self.shared.state);
            (state.close(), state.asking())
        };
        // Outside of the lock: the drop of the senders wakes every receiver.
        drop(outlets);
        Report { dropped_polls, unanswered, unsaved: self.shared.dirty() }
    }
}

/// The result, unless it takes until `end`. Without an `end` it may take any time.
async fn by<F: Future>(end: Option<Instant>, work: F) -> Option<F::Output> {
    match end {
        Some(end) => timeout_at(end, work).await.ok(),
        None => Some(work.await),
    }
}

/// Of the caller's code only the wakers of receivers run under the lock. A panic there costs its own call.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
