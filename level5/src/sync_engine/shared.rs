//! What the engine and its tasks share: the state behind its lock, the clock and the store.

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

/// The parts of an engine that its tasks need.
pub(super) struct Shared {
    pub(super) config: Config,
    /// Only for stamps of the future. Ages are measured on tokio's clock, which no operator sets.
    wall: Box<dyn WallClock>,
    store: Box<dyn AnyStore>,
    /// One lock for all: whether a source is registered, whether its record counts and what the receivers see of it is
    /// one question. A lock of `std`, since it is never held across an await. Sources, programs, the store and the
    /// clock are called without it.
    pub(super) state: Mutex<State>,
    /// Cancelled by the shutdown: no poll and no fetch begins afterwards.
    pub(super) closing: CancellationToken,
    /// Wakes the task that saves. It keeps one notice, so a change during a save is saved after it.
    pub(super) unsaved: Notify,
    /// Held during a save, so that an older state never replaces a newer one. A lock of tokio, because a save awaits
    /// the store.
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

    /// Offers what a source has delivered. Returns whether it counts: the records of a source that was removed
    /// meanwhile do not.
    pub(super) async fn arrive(&self, asked: &Asked, incoming: Vec<Incoming>) -> bool {
        // Read once, and before the lock: the clock is the caller's code, and all records of an answer have one age.
        let (now, wall) = (Instant::now(), self.wall.now());
        let mut incoming = incoming.into_iter();
        loop {
            let chunk: Vec<_> = incoming.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return lock(&self.state).is_current(asked);
            }
            {
                let mut state = lock(&self.state);
                // With each chunk: the source may have been removed, or the engine shut down, since the last one. By
                // the number of the registration: a source that was removed and added again has another one.
                if !state.is_current(asked) {
                    return false;
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
                    // Also if the record is no news: that the source still has it is what makes it fresh.
                    entry.confirm(&asked.id, now);
                    if entry.offer(record, written) {
                        state.metrics.held += u64::from(held);
                        news.insert(id);
                    }
                }
                // Once for the chunk: a record that it has twice is one change, and the figures are published once.
                state.review(&news, &self.config);
            }
            self.unsaved.notify_one();
            // A source may deliver a million records: other tasks have a turn between the chunks.
            consume_budget().await;
        }
    }

    /// Counts a poll that has ended.
    pub(super) fn polled(&self, asked: &Asked, outcome: Result<Duration, (Failure, u32)>) {
        let mut state = lock(&self.state);
        // Otherwise a source that was removed would come back into the figures with its last poll.
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
            // Biased: after the shutdown a source must not be asked even once. In random order the second branch would
            // be polled first in half of the cases, and send its questions.
            biased;
            () = self.closing.cancelled() => closed(),
            fetched = self.ask_all(ids) => fetched,
        }
    }

    async fn ask_all(&self, ids: Vec<RecordId>) -> Fetched {
        // Before the sources are asked: what is confirmed from here on is as new as a reader of this fetch may expect.
        let began = Instant::now();
        // Cloned, so that the lock is free while they answer.
        let sources = lock(&self.state).asked();
        let answers = join_all(sources.iter().map(async |asked| {
            let incoming = asked.fetch(ids.clone(), self.config.fetch_timeout).await?;
            let delivered: Vec<_> = incoming.iter().map(|record| record.id.clone()).collect();
            // At once, and not after the slowest source: its record counts for other readers, and if this fetch is
            // dropped, what has arrived stays.
            let counts = self.arrive(asked, incoming).await;
            Ok::<_, Failure>(counts.then_some(delivered))
        }));
        let answers = answers.await;
        let mut delivered = BTreeSet::new();
        let mut failures = Vec::new();
        let mut is_unasked = true;
        for (asked, answer) in sources.iter().zip(answers) {
            match answer {
                // Removed meanwhile: as if it had not been asked. A reader would otherwise learn that the engine is
                // full.
                Ok(None) => continue,
                Ok(Some(ids)) => delivered.extend(ids),
                Err(failure) => failures.push((asked.id.clone(), failure)),
            }
            is_unasked = false;
        }
        let why = match (is_unasked, failures.is_empty()) {
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

    /// Returns the answer to a reader that accepts what was confirmed less than `limit` ago. `None`: the record has to
    /// be fetched.
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
        // Since the fetch began, whichever way: a poll that ended in between is as good as an answer to the fetch. The
        // reader's `max_age` is not asked again, or `Some(0)` would never be satisfied.
        let confirmed = entry.and_then(Entry::confirmed).is_some_and(|at| at >= fetched.began);
        match (entry.and_then(Entry::current), &fetched.why) {
            (Some(current), Some(why)) if !confirmed => {
                Read::Stale { record: current.clone(), why: Arc::clone(why) }
            }
            (Some(current), _) => fresh(Some(current)),
            // Delivered and yet not kept: the capacity has refused it. `Missing` would be untrue.
            (None, _) if fetched.delivered.contains(id) => Read::Unknown(NotFetched::Full.into()),
            (None, Some(why)) => Read::Unknown(Arc::clone(why)),
            (None, None) => Read::Missing,
        }
    }

    /// Applies a program's answer to a question.
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
        // Waits for a save that is under way. Its success is not enough for this call: it may have begun before the
        // change that the caller wants to be saved.
        let _turn = self.saving.lock().await;
        // What has changed until now: a caller that flushes must not wait for changes that continue without end.
        let ids = std::mem::take(&mut lock(&self.state).dirty);
        // Declared after `_turn`, and so dropped before it: when this future is dropped, the records are back among the
        // dirty ones before the next save may begin.
        let mut taken = Taken { shared: self, ids };
        while !taken.ids.is_empty() {
            let some: Vec<_> = taken.ids.iter().take(CHUNK).cloned().collect();
            // Taken now and not when the record changed: several changes of a record are one save, of its last state.
            let batch = self.snapshot(&some);
            // A panic of the store's future counts as a failed save. It would end the task that saves.
            let outcome = AssertUnwindSafe(self.store.save(batch)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(StoreError("it panicked".to_owned()))) {
                Ok(()) => taken.ids.retain(|id| some.binary_search(id).is_err()),
                Err(error) => {
                    // First, because its destructor takes the lock of the state, which the next line holds.
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

/// The records of a save that is under way. Those that it still has when it is dropped are saved again: after an error,
/// a panic, or a drop of the caller's `flush`. Otherwise they would not be saved until their next change.
struct Taken<'a> {
    shared: &'a Shared,
    ids: BTreeSet<RecordId>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).dirty.append(&mut self.ids);
    }
}
