//! The decisions of a processor: a state machine without a clock, a lock or a future.
//!
//! ```text
//!  accept ─▶ in its key's line ─▶ in its service's queue ─▶ on its way ─▶ its end is being recorded ─▶ ended
//!                 ▲ an earlier event      ▲                    │  │                ▲
//!                 │ of the key has        │ its wait is over   │  └────────────────┘
//!                 │ not ended             │                    │    acknowledged, rejected, or the last attempt
//!                                      waiting ◀───────────────┘
//!                                               it is to be sent again
//! ```
//!
//! An accepted event is in `entries` from [`Core::accept`] to [`Core::end`]. Everything else holds its number only, so
//! an event cannot be lost between two lists.

mod answers;
mod lane;
mod letters;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::Config;
use super::event::{Event, EventId, Service};
use super::ids::Ids;
use super::journal::{DeadLetter, Loaded};
use super::metrics::{Histogram, Metrics};
use answers::Ending;
use lane::{Lane, later};

/// Why an event is not admitted. The caller gets it as a [`Rejected`](super::Rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    Duplicate,
    /// As many events are pending as the threshold allows.
    Full,
}

/// An accepted event that has not ended.
#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    /// Kept with the event: `route` is called once, and a retry goes where the first attempt went.
    service: Service,
    /// The sends that have ended, with any answer or with none. A refusal of the breaker is no attempt.
    attempts: u32,
    /// The latency counts from here, across all attempts.
    accepted: Instant,
    /// Whether it has waited for something other than its turn. Then it does not wait for a full batch. Kept here,
    /// because [`Core::take`] has to take it out of the lane's count again.
    urgent: bool,
}

/// A batch that was taken and is not settled. If its send is aborted, its events stay pending.
#[derive(Debug)]
struct Flight {
    service: Service,
    numbers: Vec<u64>,
}

/// What the driver has to do now, and when to ask again.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The services to which a batch has to be sent, each once. For each follows [`Core::take`] or [`Core::hold`].
    pub(super) start: Vec<Service>,
    /// The events whose withdrawal the journal has to record; then [`Core::release`].
    pub(super) withdrawn: Vec<EventId>,
    /// The letters that the journal may have as pending, and has to record as dead again; then [`Core::put_back`].
    pub(super) restored: Vec<(u64, DeadLetter)>,
    /// When there is more to do, if nothing happens before. `None`: only an event or an answer can change that.
    pub(super) wake_at: Option<Instant>,
    /// Nothing is left to do, and no event will be accepted.
    pub(super) finished: bool,
}

/// The state of a processor. Every method is one step, under the lock of its owner: between two steps each pending
/// event is in exactly one place.
#[derive(Debug)]
pub(super) struct Core {
    config: Config,
    /// Set by a shutdown: no event comes in, and no batch waits to be full.
    closed: bool,
    /// The last number that was given to an event, a flight or a dead letter. Numbers rise in the order of acceptance.
    next: u64,
    /// All accepted events that have not ended. By number, so that a report has them in the order of acceptance.
    entries: BTreeMap<u64, Entry>,
    /// The events that have a place and are not accepted, each with its number: they are being written to the journal,
    /// or being withdrawn from it. A shutdown has to name them.
    writing: HashMap<EventId, u64>,
    /// The ids of all events that must not be accepted again.
    ids: Ids,
    /// For each key the events that have not ended, in order. Only the first one is in a queue, in a flight or waiting.
    keys: HashMap<String, VecDeque<u64>>,
    /// The services that have had work since the driver last forgot them. Sorted, so that sends begin in the same
    /// order in every run; that of a hash map would differ.
    lanes: BTreeMap<Service, Lane>,
    /// The events that wait for another attempt, by its time: the first one says when to wake up. The number keeps two
    /// of the same time apart.
    waiting: BTreeSet<(Instant, u64)>,
    /// The batches that are under way, by number.
    flights: HashMap<u64, Flight>,
    /// How the events of settled flights end, while the journal records it. Their entries are still pending.
    endings: HashMap<u64, Vec<(u64, Ending)>>,
    /// Events whose `ingest` was dropped while the journal wrote; the next turn hands them to the driver.
    withdrawn: Vec<EventId>,
    /// By number, and so oldest first.
    dead: BTreeMap<u64, DeadLetter>,
    /// Dead letters that cannot be redriven until the journal has recorded that they are dead: a `redrive` of them was
    /// dropped while it wrote. By the number that they had in `dead`.
    restoring: BTreeMap<u64, DeadLetter>,
    /// Those of them that the next turn hands to the driver.
    restored: Vec<(u64, DeadLetter)>,
    /// Dead letters that are kept, are being recorded or are being redriven: they share the capacity.
    dead_places: usize,
    /// Places that are in use: events that are being written to the journal, being redriven, or have not ended. More
    /// than `entries` has, which is why it is counted.
    taken: usize,
    metrics: Metrics,
    /// Apart from `metrics`, which is copied for every change that is shown: this is 15 KB.
    latency: Histogram,
}

impl Core {
    /// A processor that continues with what the journal holds. `route` is called for each pending event.
    pub(super) fn new(
        config: Config,
        loaded: Loaded,
        route: impl Fn(&Event) -> Service,
        now: Instant,
    ) -> Self {
        let mut core = Self {
            ids: Ids::new(config.remembered_ids),
            config,
            closed: false,
            next: 0,
            entries: BTreeMap::new(),
            writing: HashMap::new(),
            keys: HashMap::new(),
            lanes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            flights: HashMap::new(),
            endings: HashMap::new(),
            withdrawn: Vec::new(),
            dead: BTreeMap::new(),
            restoring: BTreeMap::new(),
            restored: Vec::new(),
            dead_places: 0,
            taken: 0,
            metrics: Metrics::default(),
            latency: Histogram::new(),
        };
        // Both count as accepted, so that the sum of the figures holds from the start.
        for letter in loaded.dead {
            core.ids.insert(letter.event.id.clone());
            core.metrics.accepted += 1;
            core.metrics.dead += 1;
            core.dead_places += 1;
            let number = core.number();
            core.dead.insert(number, letter);
        }
        for event in loaded.pending {
            // Without a look at the threshold: they were accepted once, and a smaller limit takes no promise back.
            core.reserve(&event.id);
            let service = route(&event);
            core.accept(event, service, now);
        }
        core
    }

    /// Whether an event may come in, before its place is considered.
    pub(super) fn check(&self, id: &EventId) -> Result<(), Refusal> {
        // Closed first: that is final, while a duplicate may be none later.
        if self.closed {
            Err(Refusal::Closed)
        } else if self.ids.contains(id) {
            Err(Refusal::Duplicate)
        } else {
            Ok(())
        }
    }

    /// Whether as many events are pending as the threshold allows, so that only critical ones are admitted.
    pub(super) fn at_threshold(&self) -> bool {
        self.taken >= self.config.threshold.get()
    }

    /// Takes a place for an event that is written to the journal now. Then it is accepted, released or withdrawn.
    pub(super) fn reserve(&mut self, id: &EventId) {
        // Before the write, which takes time: a second call with this id, or one event too many, must be refused now.
        self.ids.insert(id.clone());
        self.taken += 1;
        let number = self.number();
        self.writing.insert(id.clone(), number);
    }

    /// The journal has the event.
    pub(super) fn accept(&mut self, event: Arc<Event>, service: Service, now: Instant) {
        self.writing.remove(&event.id);
        self.metrics.accepted += 1;
        self.enter(event, service, false, now);
    }

    /// The journal does not have the event. Returns whether a place is free.
    pub(super) fn release(&mut self, id: &EventId) -> bool {
        self.writing.remove(id);
        self.ids.remove(id);
        self.leave()
    }

    /// The call of `ingest` was dropped, and the journal may have the event.
    pub(super) fn withdraw(&mut self, id: EventId) {
        // It keeps its place, so that a shutdown waits until the journal has forgotten it.
        self.withdrawn.push(id);
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Refuses events from now on, and sends those that are pending without waiting for full batches.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Decides what the driver has to do at `now`.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        // Before the lanes are asked: an event whose wait is over may fill a batch of this very turn.
        while let Some(&(at, number)) = self.waiting.first()
            && at <= now
        {
            self.waiting.pop_first();
            self.queue(number, true, now);
        }
        let withdrawn = mem::take(&mut self.withdrawn);
        let restored = mem::take(&mut self.restored);
        let mut turn = Turn { withdrawn, restored, ..Turn::default() };
        turn.wake_at = self.waiting.first().map(|(at, _)| *at);
        for (service, lane) in &mut self.lanes {
            match lane.next(&self.config, self.closed, now) {
                Some(at) if at <= now => {
                    // One start of a lane a turn. When it has taken its batch the driver is woken, and the next turn
                    // starts another one if there are events and room for it.
                    lane.starting = true;
                    lane.answered = false;
                    turn.start.push(service.clone());
                }
                Some(at) => turn.wake_at = Some(turn.wake_at.map_or(at, |first| first.min(at))),
                None => {}
            }
        }
        // `taken` and not `entries`: an event that is being written is about to be accepted, and its caller gets
        // `Ok`. A processor that ends before would never send it, nor name it in its report.
        turn.finished = self.closed && self.taken == 0;
        turn
    }

    /// Takes the next batch of a service in which a send was begun. Returns it with its number.
    pub(super) fn take(&mut self, service: &Service, now: Instant) -> (u64, Vec<Arc<Event>>) {
        let number = self.number();
        let (mut numbers, mut events) = (Vec::new(), Vec::new());
        // The lane is there: a lane that is starting is not forgotten.
        if let Some(lane) = self.lanes.get_mut(service) {
            lane.starting = false;
            lane.flying += 1;
            while numbers.len() < self.config.batch_size.get()
                && let Some(next) = lane.queue.pop(now)
            {
                // What is in a queue has an entry: only `end` removes one, after its event was taken.
                let entry = &self.entries[&next];
                lane.urgent -= usize::from(entry.urgent);
                events.push(Arc::clone(&entry.event));
                numbers.push(next);
            }
        }
        self.flights.insert(number, Flight { service: service.clone(), numbers });
        (number, events)
    }

    /// The breaker did not let a send through that was begun.
    pub(super) fn hold(&mut self, service: &Service, time: Duration, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(service) {
            lane.starting = false;
            // The refusal may be older than an answer that has since closed the breaker. Such an answer has just ended
            // the hold, and a new one would keep the events for the whole reset time beside a closed breaker.
            if !lane.answered {
                lane.held_until = Some(later(now, time));
            }
        }
    }

    /// Forgets a service that has nothing to do. Returns whether it did so.
    pub(super) fn forget(&mut self, service: &Service) -> bool {
        // Events that wait for another attempt or for an earlier one of their key are in no lane. They make a new one
        // when their wait is over.
        let idle = |lane: &Lane| lane.queue.is_empty() && lane.flying == 0 && !lane.starting;
        let idle = self.lanes.get(service).is_some_and(idle);
        if idle {
            self.lanes.remove(service);
        }
        idle
    }

    /// The figures now.
    pub(super) fn metrics(&self) -> Metrics {
        Metrics { latency: self.latency.latency(), ..self.metrics.clone() }
    }

    /// Whether producers should slow down. `before` is the last answer: between the two bounds it stays as it is.
    pub(super) fn pressed(&self, before: bool) -> bool {
        // Two bounds, so that producers are not switched on and off with every event at the threshold. In `u128`,
        // because a threshold near the largest `usize` would overflow when it is multiplied.
        let threshold = self.config.threshold.get() as u128;
        let taken = self.taken as u128;
        if before { taken * 10 > threshold * 8 } else { taken >= threshold }
    }

    /// The ids of the events that have not ended, in the order of acceptance. Those that the journal may have, and whose
    /// calls of `ingest` have not returned, come last: they are accepted after all others, if at all.
    pub(super) fn pending(&self) -> Vec<EventId> {
        let mut writing: Vec<_> = self.writing.iter().map(|(id, number)| (*number, id)).collect();
        writing.sort_unstable();
        let writing = writing.into_iter().map(|(_, id)| id.clone());
        self.entries.values().map(|entry| entry.event.id.clone()).chain(writing).collect()
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Releases a place. Returns whether a permit has to be added for it: after a start with more events than there are
    /// places the first ends only reduce the excess.
    const fn leave(&mut self) -> bool {
        self.taken -= 1;
        self.taken < self.config.threshold.get().saturating_add(self.config.critical_reserve)
    }

    /// Admits an event that has its place: into the line of its key, or into the queue.
    fn enter(&mut self, event: Arc<Event>, service: Service, urgent: bool, now: Instant) {
        *self.metrics.backlog_of(event.priority) += 1;
        let number = self.number();
        let mut first = true;
        if let Some(key) = &event.key {
            // The key is copied for its first event only; `entry` would need a copy for each.
            if let Some(line) = self.keys.get_mut(key) {
                line.push_back(number);
                first = false;
            } else {
                self.keys.insert(key.clone(), VecDeque::from([number]));
            }
        }
        let entry = Entry { event, service, attempts: 0, accepted: now, urgent: false };
        self.entries.insert(number, entry);
        if first {
            self.queue(number, urgent, now);
        }
    }

    /// Puts an event into the queue of its service.
    fn queue(&mut self, number: u64, urgent: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        // The queue counts its age from `now` and not from the acceptance: after a long wait for its attempt a low
        // event would be overdue at once, and go before high ones that have waited for their turn.
        entry.urgent = urgent;
        let max_wait = self.config.max_wait;
        // As with keys: the name is copied for a new lane only.
        if !self.lanes.contains_key(&entry.service) {
            self.lanes.insert(entry.service.clone(), Lane::new(max_wait));
        }
        if let Some(lane) = self.lanes.get_mut(&entry.service) {
            lane.urgent += usize::from(urgent);
            lane.queue.push(number, entry.event.priority, now);
        }
    }

    /// The first event of a key has ended: the next one may go.
    fn next_of_key(&mut self, key: Option<&str>, now: Instant) {
        let Some(key) = key else { return };
        let Some(line) = self.keys.get_mut(key) else { return };
        line.pop_front();
        match line.front().copied() {
            // Urgent: it has waited for its predecessor already, and would wait for `flush` on top of that.
            Some(next) => self.queue(next, true, now),
            // An empty line goes, or each key that ever came would stay.
            None => {
                self.keys.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
