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

/// Why an event is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    Duplicate,
    /// As many events are pending as may be.
    Full,
}

/// An accepted event that has not ended.
#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    service: Service,
    /// How often it was sent.
    attempts: u32,
    accepted: Instant,
    /// Whether it has waited for something else than its turn. Then it does not wait for a full batch.
    urgent: bool,
}

/// A batch that was taken.
#[derive(Debug)]
struct Flight {
    service: Service,
    numbers: Vec<u64>,
}

/// What the driver has to do.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// To each of these services a batch is to be sent.
    pub(super) start: Vec<Service>,
    /// The journal is to learn that these were withdrawn; then [`Core::release`].
    pub(super) withdrawn: Vec<EventId>,
    /// When there is more to do, if nothing happens before.
    pub(super) wake_at: Option<Instant>,
    /// Nothing is left to do, and nothing will come.
    pub(super) finished: bool,
}

#[derive(Debug)]
pub(super) struct Core {
    config: Config,
    closed: bool,
    /// The number of the next event or flight. Numbers rise in the order of acceptance.
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// The ids of all events that must not be accepted again.
    ids: Ids,
    /// For each key the events that have not ended, in order. Only the first one is anywhere else.
    keys: HashMap<String, VecDeque<u64>>,
    // Sorted, so that no order of a hash map shows.
    lanes: BTreeMap<Service, Lane>,
    /// Events that are to be sent again, by the time of it.
    waiting: BTreeSet<(Instant, u64)>,
    flights: HashMap<u64, Flight>,
    endings: HashMap<u64, Vec<(u64, Ending)>>,
    withdrawn: Vec<EventId>,
    dead: BTreeMap<u64, DeadLetter>,
    /// Dead letters that are kept, are being recorded or are being redriven: they share the capacity.
    dead_places: usize,
    /// Events that are being written to the journal or have not ended.
    taken: usize,
    metrics: Metrics,
    latency: Histogram,
}

impl Core {
    /// A processor that goes on with what the journal holds. `route` is called for each pending event.
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
            keys: HashMap::new(),
            lanes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            flights: HashMap::new(),
            endings: HashMap::new(),
            withdrawn: Vec::new(),
            dead: BTreeMap::new(),
            dead_places: 0,
            taken: 0,
            metrics: Metrics::default(),
            latency: Histogram::new(),
        };
        for letter in loaded.dead {
            core.ids.insert(letter.event.id.clone());
            core.metrics.accepted += 1;
            core.metrics.dead += 1;
            core.dead_places += 1;
            let number = core.number();
            core.dead.insert(number, letter);
        }
        for event in loaded.pending {
            core.reserve(&event.id);
            let service = route(&event);
            core.accept(event, service, now);
        }
        core
    }

    /// Whether an event may come in, before its place is considered.
    pub(super) fn check(&self, id: &EventId) -> Result<(), Refusal> {
        if self.closed {
            Err(Refusal::Closed)
        } else if self.ids.contains(id) {
            Err(Refusal::Duplicate)
        } else {
            Ok(())
        }
    }

    /// Whether as many events are pending as may be without a critical one.
    pub(super) fn at_threshold(&self) -> bool {
        self.taken >= self.config.threshold.get()
    }

    /// Takes a place for an event that is written to the journal now. Then it is accepted, released or withdrawn.
    pub(super) fn reserve(&mut self, id: &EventId) {
        self.ids.insert(id.clone());
        self.taken += 1;
    }

    /// The journal has the event.
    pub(super) fn accept(&mut self, event: Arc<Event>, service: Service, now: Instant) {
        self.metrics.accepted += 1;
        self.enter(event, service, false, now);
    }

    /// The journal does not have the event. Returns whether a place is free.
    pub(super) fn release(&mut self, id: &EventId) -> bool {
        self.ids.remove(id);
        self.leave()
    }

    /// The caller is gone, and the journal may have the event.
    pub(super) fn withdraw(&mut self, id: EventId) {
        self.withdrawn.push(id);
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Refuses events from now on, and sends what is here without waiting for full batches.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// What is to be done at `now`.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        while let Some(&(at, number)) = self.waiting.first()
            && at <= now
        {
            self.waiting.pop_first();
            self.queue(number, true, now);
        }
        let mut turn = Turn { withdrawn: mem::take(&mut self.withdrawn), ..Turn::default() };
        turn.wake_at = self.waiting.first().map(|(at, _)| *at);
        for (service, lane) in &mut self.lanes {
            match lane.next(&self.config, self.closed, now) {
                Some(at) if at <= now => {
                    lane.starting = true;
                    lane.answered = false;
                    turn.start.push(service.clone());
                }
                Some(at) => turn.wake_at = Some(turn.wake_at.map_or(at, |first| first.min(at))),
                None => {}
            }
        }
        turn.finished = self.closed && self.taken == 0;
        turn
    }

    /// Takes the next batch of a service in which a send was begun. Returns it with its number.
    pub(super) fn take(&mut self, service: &Service, now: Instant) -> (u64, Vec<Arc<Event>>) {
        let number = self.number();
        let (mut numbers, mut events) = (Vec::new(), Vec::new());
        if let Some(lane) = self.lanes.get_mut(service) {
            lane.starting = false;
            lane.flying += 1;
            while numbers.len() < self.config.batch_size.get()
                && let Some(next) = lane.queue.pop(now)
            {
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
            if !lane.answered {
                lane.held_until = Some(later(now, time));
            }
        }
    }

    /// Forgets a service that has nothing to do. Returns whether it has.
    pub(super) fn forget(&mut self, service: &Service) -> bool {
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
        let threshold = self.config.threshold.get() as u128;
        let taken = self.taken as u128;
        if before { taken * 10 > threshold * 8 } else { taken >= threshold }
    }

    /// The ids of the events that have not ended, in the order of acceptance.
    pub(super) fn pending(&self) -> Vec<EventId> {
        self.entries.values().map(|entry| entry.event.id.clone()).collect()
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Gives a place back. Returns whether that makes room: after a start with more events than there are places it
    /// does not.
    const fn leave(&mut self) -> bool {
        self.taken -= 1;
        self.taken < self.config.threshold.get().saturating_add(self.config.critical_reserve)
    }

    /// Lets an event in that has its place: into the line of its key, or into the queue.
    fn enter(&mut self, event: Arc<Event>, service: Service, urgent: bool, now: Instant) {
        *self.metrics.backlog_of(event.priority) += 1;
        let number = self.number();
        let mut first = true;
        if let Some(key) = &event.key {
            // The key is copied for the first event of it only.
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
            Some(next) => self.queue(next, true, now),
            None => {
                self.keys.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
