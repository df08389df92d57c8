//! What the engine and its tasks hold together, and what each event does to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::conflict::{Resolved, SourceId, Standings};
use crate::multi_source_cache::Failure;
use crate::wall_clock::WallClock;

use super::config::{Config, Conflict, Resolve, Rule};
use super::entry::{Decided, Doubt, Entry};
use super::fetches::Fetched;
use super::lock;
use super::metrics::{SourceMetrics, SyncMetrics};
use super::record::{Change, Incoming, NotFetched, Read, RecordId};
use super::source::{AnySource, Asked};
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

pub(super) struct State {
    entries: HashMap<RecordId, Entry>,
    pub(super) sources: BTreeMap<SourceId, Registered>,
    standings: Standings,
    pub(super) rule: Rule,
    pub(super) rules: BTreeMap<RecordId, Rule>,
    dirty: BTreeSet<RecordId>,
    /// Numbers registrations and conflicts.
    pub(super) numbers: u64,
    metrics: SyncMetrics,
    /// `None` after the shutdown: the streams end with their senders.
    outlets: Option<Outlets>,
    /// At most one question of each record is on its way: it needs no bound of its own. `None` once the shutdown
    /// waits for the last answers.
    questions: Option<mpsc::UnboundedSender<Question>>,
}

pub(super) struct Outlets {
    changes: broadcast::Sender<Change>,
    conflicts: broadcast::Sender<Conflict>,
    metrics: watch::Sender<SyncMetrics>,
}

pub(super) struct Registered {
    number: u64,
    source: Arc<dyn AnySource>,
    /// The length of all polls that were answered.
    total: Duration,
}

/// A conflict, and the program that has to decide it.
pub(super) struct Question {
    pub(super) conflict: Conflict,
    pub(super) resolver: Arc<dyn Resolve>,
}

impl Shared {
    pub(super) fn new(
        config: Config,
        wall: Box<dyn WallClock>,
        store: Box<dyn AnyStore>,
        saved: Vec<Saved>,
        questions: mpsc::UnboundedSender<Question>,
    ) -> Self {
        let buffered = config.buffered.get();
        let outlets = Outlets {
            changes: broadcast::Sender::new(buffered),
            conflicts: broadcast::Sender::new(buffered),
            metrics: watch::Sender::new(SyncMetrics::default()),
        };
        let mut state = State {
            entries: HashMap::new(),
            sources: BTreeMap::new(),
            standings: Standings::new(),
            rule: config.rule.clone(),
            rules: BTreeMap::new(),
            dirty: BTreeSet::new(),
            numbers: 0,
            metrics: SyncMetrics::default(),
            outlets: Some(outlets),
            questions: Some(questions),
        };
        for saved in saved.into_iter().take(config.capacity.get()) {
            state.numbers += 1;
            let id = saved.id.clone();
            let entry = Entry::loaded(saved, state.numbers);
            state.metrics.parked += usize::from(matches!(entry.doubt, Doubt::Parked(_)));
            state.entries.insert(id, entry);
        }
        state.publish();
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
        loop {
            let (mut taken, batch) = self.take_dirty();
            if batch.is_empty() {
                return Ok(());
            }
            let outcome = AssertUnwindSafe(self.store.save(batch)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(StoreError("it panicked".to_owned()))) {
                Ok(()) => taken.ids.clear(),
                Err(error) => {
                    drop(taken);
                    let mut state = lock(&self.state);
                    state.metrics.failed_saves += 1;
                    state.publish();
                    return Err(error);
                }
            }
        }
    }

    fn take_dirty(&self) -> (Taken<'_>, Vec<Saved>) {
        let mut state = lock(&self.state);
        let mut ids = BTreeSet::new();
        while ids.len() < CHUNK
            && let Some(id) = state.dirty.pop_first()
        {
            ids.insert(id);
        }
        let entry = |id: &RecordId| Some(state.entries.get(id)?.to_saved(id.clone()));
        let batch = ids.iter().filter_map(entry).collect();
        (Taken { shared: self, ids }, batch)
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

impl State {
    /// Registers a source. The caller has checked that there is none of this id.
    pub(super) fn register(
        &mut self,
        id: &SourceId,
        standing: crate::conflict::Standing,
        source: Arc<dyn AnySource>,
        config: &Config,
    ) -> Asked {
        self.numbers += 1;
        let number = self.numbers;
        let kept = Arc::clone(&source);
        self.sources.insert(id.clone(), Registered { number, source: kept, total: Duration::ZERO });
        self.metrics.sources.insert(id.clone(), SourceMetrics::default());
        self.standings.insert(id.clone(), standing);
        self.review_all(config);
        Asked { id: id.clone(), number, source }
    }

    /// Takes a source out. Its records stay, and rank below those of all that are registered.
    pub(super) fn unregister(&mut self, id: &SourceId, config: &Config) -> Option<Registered> {
        let removed = self.sources.remove(id)?;
        self.metrics.sources.remove(id);
        self.standings.remove(id);
        self.review_all(config);
        Some(removed)
    }

    fn is_current(&self, asked: &Asked) -> bool {
        let known = self.sources.get(&asked.id).is_some_and(|known| known.number == asked.number);
        known && self.outlets.is_some()
    }

    fn asked(&self) -> Vec<Asked> {
        let asked = |(id, known): (&SourceId, &Registered)| Asked {
            id: id.clone(),
            number: known.number,
            source: Arc::clone(&known.source),
        };
        self.sources.iter().map(asked).collect()
    }

    pub(super) fn entry(&self, id: &RecordId) -> Option<&Entry> {
        self.entries.get(id)
    }

    fn confirm(&mut self, ids: &[RecordId], now: Instant) {
        for id in ids {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.asked(now);
            }
        }
    }

    /// The conflicts that wait for a person, by id.
    pub(super) fn parked(&self) -> Vec<Conflict> {
        let mut parked: Vec<_> =
            self.entries.iter().filter_map(|(id, entry)| entry.parked(id)).collect();
        parked.sort_by(|a, b| a.id.cmp(&b.id));
        parked
    }

    pub(super) fn review_all(&mut self, config: &Config) {
        let ids = self.entries.keys().cloned().collect();
        self.review(&ids, config);
    }

    /// Decides again what counts of these records.
    pub(super) fn review(&mut self, ids: &BTreeSet<RecordId>, config: &Config) {
        for id in ids {
            let (rule, standings) = (self.rule_of(id), std::mem::take(&mut self.standings));
            let mut numbers = self.numbers;
            self.change_quietly(id, config, |entry, config| {
                entry.review(id, &rule, &standings, &mut numbers, config.versions)
            });
            (self.standings, self.numbers) = (standings, numbers);
        }
        self.publish();
    }

    /// Changes an entry, and passes on what has followed.
    pub(super) fn change(
        &mut self,
        id: &RecordId,
        config: &Config,
        change: impl FnOnce(&mut Entry, &Config) -> Decided,
    ) {
        self.change_quietly(id, config, change);
        self.publish();
    }

    fn change_quietly(
        &mut self,
        id: &RecordId,
        config: &Config,
        change: impl FnOnce(&mut Entry, &Config) -> Decided,
    ) {
        let rule = self.rule_of(id);
        let Some(entry) = self.entries.get_mut(id) else { return };
        let was_parked = matches!(entry.doubt, Doubt::Parked(_));
        let decided = change(entry, config);
        let is_parked = matches!(entry.doubt, Doubt::Parked(_));
        self.dirty.insert(id.clone());
        let metrics = &mut self.metrics;
        metrics.parked = metrics.parked + usize::from(is_parked) - usize::from(was_parked);
        metrics.conflicts += u64::from(decided.found.is_some());
        metrics.resolved += u64::from(decided.resolved);
        // An error says that there is no receiver. Sent under the lock, so that receivers see the changes in order.
        let Some(outlets) = &self.outlets else { return };
        if let Some(found) = decided.found {
            let _ = outlets.conflicts.send(found);
        }
        if let Some(record) = decided.change {
            let _ = outlets.changes.send(Change { id: id.clone(), record });
        }
        if let (Some(conflict), Rule::Ask(resolver)) = (decided.question, rule)
            && let Some(questions) = &self.questions
        {
            let _ = questions.send(Question { conflict, resolver });
        }
    }

    fn rule_of(&self, id: &RecordId) -> Rule {
        self.rules.get(id).unwrap_or(&self.rule).clone()
    }

    fn publish(&mut self) {
        self.metrics.records = self.entries.len();
        if let Some(outlets) = &self.outlets {
            outlets.metrics.send_replace(self.metrics.clone());
        }
    }

    /// A receiver of a stream, or one whose stream has ended.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        let ended = || broadcast::channel(1).1;
        self.outlets.as_ref().map_or_else(ended, |outlets| outlets.changes.subscribe())
    }

    pub(super) fn conflicts(&self) -> broadcast::Receiver<Conflict> {
        let ended = || broadcast::channel(1).1;
        self.outlets.as_ref().map_or_else(ended, |outlets| outlets.conflicts.subscribe())
    }

    pub(super) fn metrics(&self) -> watch::Receiver<SyncMetrics> {
        let ended = || watch::channel(self.metrics.clone()).1;
        self.outlets.as_ref().map_or_else(ended, |outlets| outlets.metrics.subscribe())
    }

    /// Asks no program any more. The task that asks ends with the answers that are on their way.
    pub(super) fn ask_no_more(&mut self) {
        self.questions = None;
    }

    /// Ends the streams.
    pub(super) fn close(&mut self) -> Option<Outlets> {
        self.outlets.take()
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.outlets.is_none()
    }

    /// How many conflicts a program is being asked about.
    pub(super) fn asking(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry.doubt, Doubt::Asking { .. })).count()
    }
}

fn fresh(current: Option<&Resolved>) -> Read {
    match current {
        Some(current) if current.content.is_some() => Read::Fresh(current.clone()),
        _ => Read::Missing,
    }
}
