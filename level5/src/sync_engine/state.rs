//! What an engine knows, behind its lock: records, sources, rules, figures and receivers. There is no I/O here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::conflict::{Resolved, SourceId, Standing, Standings};

use super::config::{Config, Conflict, Resolve, Rule};
use super::entry::{Decided, Doubt, Entry};
use super::metrics::{SourceMetrics, SyncMetrics};
use super::record::{Change, Read, RecordId};
use super::source::{AnySource, Asked};
use super::store::Saved;

/// The state of an engine. Its owner holds it behind one lock.
pub(super) struct State {
    /// At most as many as the capacity. Where its order would show, the ids are sorted first.
    pub(super) entries: HashMap<RecordId, Entry>,
    /// By id, so that the failures of a fetch are in the order of the ids.
    pub(super) sources: BTreeMap<SourceId, Registered>,
    /// Of the registered sources only. `resolve` ranks a source that is not listed below all others, which is the rank
    /// of a removed one.
    standings: Standings,
    /// The rule of every record without one in `rules`.
    pub(super) rule: Rule,
    /// Rules of single records, known ones or not.
    pub(super) rules: BTreeMap<RecordId, Rule>,
    /// The records to be saved. A set: a record that changes ten times before a save is saved once.
    pub(super) dirty: BTreeSet<RecordId>,
    /// The last number of a registration or a conflict. An engine uses no number twice, so an outdated one
    /// matches nothing.
    pub(super) numbers: u64,
    pub(super) metrics: SyncMetrics,
    /// `None` after the shutdown: the streams end with their senders.
    outlets: Option<Outlets>,
    /// Unbounded: an entry asks its next question when the last one is answered, so the records bound the questions.
    /// `None` when the shutdown has seen the last answer.
    questions: Option<mpsc::UnboundedSender<Question>>,
    /// How many conflicts a program is being asked about.
    asking: usize,
    /// Whether the questions end with the last answer: the shutdown waits for it.
    are_ending: bool,
}

/// The senders of the streams, together, so that a shutdown ends all of them in one step.
pub(super) struct Outlets {
    /// Broadcast: each receiver sees each change. One that is slow loses the oldest, and does not hold up the engine.
    changes: broadcast::Sender<Change>,
    conflicts: broadcast::Sender<Conflict>,
    /// Watch: only the latest figures matter.
    metrics: watch::Sender<SyncMetrics>,
}

/// A source that is polled and asked.
pub(super) struct Registered {
    /// Another one for each registration: it tells an answer to an earlier registration of the same id.
    number: u64,
    source: Arc<dyn AnySource>,
    /// The length of all polls that were answered. The mean follows from it exactly; a mean of means would not.
    pub(super) total: Duration,
}

/// A conflict, and the program that has to decide it.
pub(super) struct Question {
    pub(super) conflict: Conflict,
    pub(super) resolver: Arc<dyn Resolve>,
}

impl State {
    /// The state with what was saved, and without sources.
    pub(super) fn new(
        config: &Config,
        saved: Vec<Saved>,
        questions: mpsc::UnboundedSender<Question>,
    ) -> Self {
        let buffered = config.buffered.get();
        let outlets = Outlets {
            changes: broadcast::Sender::new(buffered),
            conflicts: broadcast::Sender::new(buffered),
            metrics: watch::Sender::new(SyncMetrics::default()),
        };
        let mut state = Self {
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
            asking: 0,
            are_ending: false,
        };
        // No review yet: without sources there are no standings, and a strategy would decide without ranks.
        // What counted at the last save is the last version of the history.
        for saved in saved.into_iter().take(config.capacity.get()) {
            state.numbers += 1;
            let id = saved.id.clone();
            let entry = Entry::loaded(saved, state.numbers);
            state.metrics.parked += usize::from(matches!(entry.doubt, Doubt::Parked(_)));
            state.entries.insert(id, entry);
        }
        state.publish();
        state
    }

    /// Registers a source. The caller has checked that there is none of this id.
    pub(super) fn register(
        &mut self,
        id: &SourceId,
        standing: Standing,
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

    /// Removes a source. Its records stay, and rank below those of all that are registered.
    ///
    /// The source is returned, so that its owner can drop it without the lock.
    pub(super) fn unregister(&mut self, id: &SourceId, config: &Config) -> Option<Registered> {
        let removed = self.sources.remove(id)?;
        self.metrics.sources.remove(id);
        self.standings.remove(id);
        self.review_all(config);
        Some(removed)
    }

    /// Whether an answer of this source may still change anything.
    pub(super) fn is_current(&self, asked: &Asked) -> bool {
        let known = self.sources.get(&asked.id).is_some_and(|known| known.number == asked.number);
        known && self.outlets.is_some()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
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

    pub(super) fn confirm(&mut self, ids: &[RecordId], now: Instant) {
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
            // Taken out for the call: `change_quietly` borrows the whole state mutably, and the entry needs both.
            // Cloned standings would cost a map for each record.
            let (rule, standings) = (self.rule_of(id), std::mem::take(&mut self.standings));
            let mut numbers = self.numbers;
            self.change_quietly(id, config, |entry, config| {
                entry.review(id, &rule, &standings, &mut numbers, config.versions)
            });
            (self.standings, self.numbers) = (standings, numbers);
        }
        // Once for all of them: the figures are copied with each publication.
        self.publish();
    }

    /// Changes an entry, and sends what follows to the receivers, the program and the next save.
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
        let was_asking = matches!(entry.doubt, Doubt::Asking { .. });
        let decided = change(entry, config);
        let is_parked = matches!(entry.doubt, Doubt::Parked(_));
        let is_asking = matches!(entry.doubt, Doubt::Asking { .. });
        self.asking = self.asking + usize::from(is_asking) - usize::from(was_asking);
        // Also if what counts is the same: a new stamp, or an open conflict, has to outlast a restart as well. And
        // before the return below: a decision after the shutdown is saved by `flush`.
        self.dirty.insert(id.clone());
        let metrics = &mut self.metrics;
        metrics.parked = metrics.parked + usize::from(is_parked) - usize::from(was_parked);
        metrics.conflicts += u64::from(decided.found.is_some());
        metrics.resolved += u64::from(decided.resolved);
        // An error says that there is no receiver. Sent under the lock, so that receivers see the changes in the order
        // in which they were decided. No `send` here waits: a full buffer loses its oldest change to slow receivers.
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
        self.end_questions();
    }

    fn end_questions(&mut self) {
        if self.are_ending && self.asking == 0 {
            self.questions = None;
        }
    }

    /// Notes that the records without a rule of their own have another one.
    pub(super) fn has_new_rule(&mut self) {
        for (id, entry) in &mut self.entries {
            if !self.rules.contains_key(id) {
                entry.has_new_rule();
            }
        }
    }

    fn rule_of(&self, id: &RecordId) -> Rule {
        self.rules.get(id).unwrap_or(&self.rule).clone()
    }

    pub(super) fn publish(&mut self) {
        self.metrics.records = self.entries.len();
        if let Some(outlets) = &self.outlets {
            // `send_replace` and not `send`, which fails, and keeps the old figures, while there is no receiver.
            outlets.metrics.send_replace(self.metrics.clone());
        }
    }

    /// A receiver of the changes. After the shutdown it is one whose sender is gone, so its stream ends at once.
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

    /// Ends the questions with the last answer. Until then an answer may lead to another question, if records have
    /// changed since it was asked for.
    pub(super) fn ask_no_more(&mut self) {
        self.are_ending = true;
        self.end_questions();
    }

    /// Ends the streams.
    pub(super) fn close(&mut self) -> Option<Outlets> {
        self.outlets.take()
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.outlets.is_none()
    }

    /// How many conflicts a program is being asked about.
    pub(super) const fn asking(&self) -> usize {
        self.asking
    }
}

/// What a reader gets of what counts: `Missing` for a deleted record.
pub(super) fn fresh(current: Option<&Resolved>) -> Read {
    match current {
        Some(current) if current.content.is_some() => Read::Fresh(current.clone()),
        _ => Read::Missing,
    }
}
