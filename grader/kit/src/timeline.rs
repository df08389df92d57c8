//! What the fakes saw, in virtual time.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grader_protocol::Event;
use tokio::time::Instant;

use crate::clock::Clock;

/// A failure message shows no more than this; a solution that loops would fill it without end.
const MOST_EVENTS: usize = 200;

/// A shared record of what the fakes saw. Cheap to clone; every clone writes to the same record.
///
/// It is appended to every failure of the criterion, so a fake should record each call that it
/// gets, each answer that it gives, and each call that is dropped before its answer.
#[derive(Debug, Clone)]
pub struct Timeline {
    clock: Clock,
    /// When the criterion began.
    begin: Instant,
    record: Arc<Mutex<Record>>,
}

/// What was recorded since this instant.
#[derive(Debug)]
struct Record {
    begin: Instant,
    events: Vec<Event>,
}

impl Timeline {
    pub(crate) fn new(clock: Clock) -> Self {
        let begin = clock.now();
        let record = Record { begin, events: Vec::new() };
        Timeline { clock, begin, record: Arc::new(Mutex::new(record)) }
    }

    /// Forgets what was recorded, and counts the time of what follows from now. A script that tries one case
    /// after another begins each with this, so that a failure shows its own case and no other.
    pub fn restart(&self) {
        let mut record = self.lock();
        *record = Record { begin: self.clock.now(), events: Vec::new() };
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `who` saw `what` now.
    pub fn record(&self, who: impl Into<String>, what: impl Into<String>) {
        let mut record = self.lock();
        let Record { begin, events } = &mut *record;
        if events.len() > MOST_EVENTS {
            return;
        }
        let at_us = u64::try_from(self.clock.since(*begin).as_micros()).unwrap_or(u64::MAX);
        let event = Event { at_us, who: who.into(), what: what.into() };
        if events.len() < MOST_EVENTS {
            events.push(event);
        } else {
            events.push(Event { what: "... and more".to_owned(), ..event });
        }
    }

    /// Virtual time since the criterion began.
    pub(crate) fn now(&self) -> std::time::Duration {
        self.clock.since(self.begin)
    }

    /// Virtual milliseconds since the criterion began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.since(self.begin).as_millis()).unwrap_or(u64::MAX)
    }

    /// What has been recorded since the criterion, or its last case, began.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }
}
