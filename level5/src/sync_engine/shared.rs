//! What the engine and its tasks hold together: the state behind its lock, the clock and the store.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::{Notify, mpsc};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::conflict::Resolved;
use crate::multi_source_cache::Failure;
use crate::wall_clock::WallClock;

use super::config::{Config, Conflict};
use super::entry::Entry;
use super::fetches::Fetched;
use super::lock;
use super::record::{Incoming, NotFetched, Read, RecordId};
use super::source::Asked;
use super::state::{Question, State, fresh};
use super::store::{AnyStore, Saved, StoreError};

/// How many records are handled before other tasks have a turn, and how many are in one save.
const CHUNK: usize = 256;

pub(super) struct Shared {
    pub(super) config: Config,
    wall: Box<dyn WallClock>,
    store: Box<dyn AnyStore>,
    /// One lock for all: whether a source is registered, whether its record counts and what the receivers see of it is
    /// one question. No foreign code runs under it.
    pub(super) state: Mutex<State>,
    /// Cancelled by the shutdown: no poll and no fetch begins afterwards.
    pub(super) closing: CancellationToken,
    /// There is something to save.
    pub(super) unsaved: Notify,
    /// Held during a save, so that an older state never replaces a newer one.
    saving: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(super) fn new(
        config: Config,
        wall: Box<dyn WallClock>,
        store: Box<dyn AnyStore>,
        saved: Vec<Saved>,
        questions: mpsc::UnboundedSender<Question>,
    ) -> Self {
        let state = State::new(&config, saved, questions);
        Self {
            config,
            wall,
            store,
            state: Mutex::new(state),
            closing: CancellationToken::new(),
            unsaved: Notify::new(),
            saving: tokio::sync::Mutex::default(),
        }
    }

    /// Offers what a source has delivered.
    pub(super) async fn arrive(&self, asked: &Asked, incoming: Vec<Incoming>) {
        let (now, wall) = (Instant::now(), self.wall.now());
        let mut incoming = incoming.into_iter();
        loop {
            let chunk: Vec<_> = incoming.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return;
            }
            {
                let mut state = lock(&self.state);
                if !state.is_current(asked) {
                    return;
                }
                let mut news = BTreeSet::new();
                for delivered in chunk {
                    let id = delivered.id.clone();
                    let mut record = delivered.from(asked.id.clone());
                    let written = record.stamp.clone();
                    let (stamp, held) = record.stamp.held(wall, self.config.max_skew);
                    record.stamp = stamp;
                    if !state.entries.contains_key(&id)
                        && state.entries.len() >= self.config.capacity.get()
                    {
                        state.metrics.refused += 1;
                        continue;
                    }
                    let entry = state.entries.entry(id.clone()).or_default();
                    entry.confirm(&asked.id, now);
                    if entry.offer(record, written) {
                        state.metrics.held += u64::from(held);
                        news.insert(id);
                    }
                }
                state.review(&news, &self.config);
            }
            self.unsaved.notify_one();
            // A source may deliver a million records: other tasks have a turn between the chunks.
            consume_budget().await;
        }
    }

    /// A poll has ended.
    pub(super) fn polled(&self, asked: &Asked, outcome: Result<Duration, (Failure, u32)>) {
        let mut state = lock(&self.state);
        if !state.is_current(asked) {
            return;
        }
        let State { sources, metrics, .. } = &mut *state;
        let Some(registered) = sources.get_mut(&asked.id) else { return };
        let figures = metrics.sources.entry(asked.id.clone()).or_default();
        match outcome {
            Ok(took) => {
                registered.total = registered.total.saturating_add(took);
                figures.succeeded(registered.total, Instant::now());
            }
            Err((failure, in_a_row)) => figures.failed(failure, in_a_row),
        }
        state.publish();
    }

    /// Asks all sources for the records, at the same time.
    pub(super) async fn fetch(&self, ids: Vec<RecordId>) -> Fetched {
        let closed = || Fetched {
            began: Instant::now(),
            delivered: BTreeSet::new(),
            why: Some(NotFetched::Closed.into()),
        };
        tokio::select! {
            biased;
            () = self.closing.cancelled() => closed(),
            fetched = self.ask_all(ids) => fetched,
        }
    }

    async fn ask_all(&self, ids: Vec<RecordId>) -> Fetched {
        let began = Instant::now();
        let sources = lock(&self.state).asked();
        let answers = join_all(sources.iter().map(async |asked| {
            let incoming = asked.fetch(ids.clone(), self.config.fetch_timeout).await?;
            let delivered: Vec<_> = incoming.iter().map(|record| record.id.clone()).collect();
            // At once, and not after the slowest source.
            self.arrive(asked, incoming).await;
            Ok::<_, Failure>(delivered)
        }));
        let answers = answers.await;
        let mut delivered = BTreeSet::new();
        let mut failures = Vec::new();
        for (asked, answer) in sources.iter().zip(answers) {
            match answer {
                Ok(ids) => delivered.extend(ids),
                Err(failure) => failures.push((asked.id.clone(), failure)),
            }
        }
        let why = match (sources.is_empty(), failures.is_empty()) {
            (true, _) => Some(NotFetched::NoSource),
            (false, true) => None,
            (false, false) => Some(NotFetched::Failed(failures)),
        };
        if why.is_none() {
            // Every source has answered, and none has anything newer: what is known is confirmed.
            lock(&self.state).confirm(&ids, Instant::now());
        }
        Fetched { began, delivered, why: why.map(Arc::new) }
    }

    /// The answer to a reader who accepts what was confirmed less than `limit` ago. `None`: it has to be fetched.
    pub(super) fn known(&self, id: &RecordId, limit: Duration) -> Option<Read> {
        let state = lock(&self.state);
        let entry = state.entries.get(id)?;
        let age = entry.confirmed()?.elapsed();
        (age < limit).then(|| fresh(entry.current()))
    }

    /// The answer to a reader after a fetch.
    pub(super) fn read(&self, id: &RecordId, fetched: &Fetched) -> Read {
        let state = lock(&self.state);
        let entry = state.entries.get(id);
        let confirmed = entry.and_then(Entry::confirmed).is_some_and(|at| at >= fetched.began);
        match (entry.and_then(Entry::current), &fetched.why) {
            (Some(current), Some(why)) if !confirmed => {
                Read::Stale { record: current.clone(), why: Arc::clone(why) }
            }
            (Some(current), _) => fresh(Some(current)),
            (None, _) if fetched.delivered.contains(id) => Read::Unknown(NotFetched::Full.into()),
            (None, Some(why)) => Read::Unknown(Arc::clone(why)),
            (None, None) => Read::Missing,
        }
    }

    /// The program has answered a question.
    pub(super) fn answered(&self, question: &Conflict, pick: Option<Resolved>) {
        lock(&self.state).change(&question.id, &self.config, |entry, config| {
            entry.answered(question, pick, config.versions)
        });
        self.unsaved.notify_one();
    }

    /// Saves what has changed since it was saved last.
    ///
    /// Dropped in the middle of a save, it leaves the records of that save to the next one.
    pub(super) async fn save(&self) -> Result<(), StoreError> {
        let _turn = self.saving.lock().await;
        // What has changed until now: a caller who flushes must not wait for changes that go on without end.
        let ids = std::mem::take(&mut lock(&self.state).dirty);
        let mut taken = Taken { shared: self, ids };
        while !taken.ids.is_empty() {
            let some: Vec<_> = taken.ids.iter().take(CHUNK).cloned().collect();
            let batch = self.snapshot(&some);
            let outcome = AssertUnwindSafe(self.store.save(batch)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(StoreError("it panicked".to_owned()))) {
                Ok(()) => taken.ids.retain(|id| some.binary_search(id).is_err()),
                Err(error) => {
                    drop(taken);
                    let mut state = lock(&self.state);
                    state.metrics.failed_saves += 1;
                    state.publish();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn snapshot(&self, ids: &[RecordId]) -> Vec<Saved> {
        let state = lock(&self.state);
        let saved = |id: &RecordId| Some(state.entry(id)?.to_saved(id.clone()));
        ids.iter().filter_map(saved).collect()
    }

    /// How many records are not saved.
    pub(super) fn dirty(&self) -> usize {
        lock(&self.state).dirty.len()
    }
}

/// The records of a save that is on its way. What it still has when it is dropped is to be saved again.
struct Taken<'a> {
    shared: &'a Shared,
    ids: BTreeSet<RecordId>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).dirty.append(&mut self.ids);
    }
}
