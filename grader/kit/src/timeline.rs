//! What the fakes saw, in virtual time.
use std::sync::{Arc, Mutex, PoisonError};

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
    begin: Instant,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Timeline {
    pub(crate) fn new(clock: Clock) -> Self {
        let begin = clock.now();
        Timeline { clock, begin, events: Arc::default() }
    }

    /// Records that `who` saw `what` now.
    pub fn record(&self, who: impl Into<String>, what: impl Into<String>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() > MOST_EVENTS {
            return;
        }
        let at_us = u64::try_from(self.clock.since(self.begin).as_micros()).unwrap_or(u64::MAX);
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

    /// What has been recorded so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
