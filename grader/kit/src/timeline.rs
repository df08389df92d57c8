//! What the fakes saw, in virtual time.
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grader_protocol::Event;
use tokio::time::Instant;

use crate::clock::Clock;

/// The first events of a case that are kept, and the last ones: a failure is seen at the end, and a solution that loops
/// would fill the message without end.
const FIRST_EVENTS: usize = 20;
const LAST_EVENTS: usize = 180;

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
    first: Vec<Event>,
    last: VecDeque<Event>,
    /// How many events between the two were forgotten.
    forgotten: u64,
    /// Calls of fakes that do not answer, on purpose, by number.
    silent: BTreeMap<u64, Silent>,
    /// The number of the next one; never used again, also not by a later case.
    next: u64,
    /// How many cases have begun.
    case: u64,
}

impl Record {
    /// A case that begins now.
    fn new(begin: Instant, next: u64, case: u64) -> Self {
        let (first, last, silent) = (Vec::new(), VecDeque::new(), BTreeMap::new());
        Record { begin, first, last, forgotten: 0, silent, next, case }
    }
}

/// A call of a fake that does not answer, on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Which call it is.
    pub(crate) who: String,
    /// Since when, in microseconds since the case began.
    pub(crate) since_us: u64,
}

impl Timeline {
    pub(crate) fn new(clock: Clock) -> Self {
        let begin = clock.now();
        let record = Record::new(begin, 0, 0);
        Timeline { clock, begin, record: Arc::new(Mutex::new(record)) }
    }

    /// Forgets what was recorded, and counts the time of what follows from now. A script that tries one case
    /// after another begins each with this, so that a failure shows its own case and no other.
    pub fn restart(&self) {
        let mut record = self.lock();
        let (begin, next, case) = (self.clock.now(), record.next, record.case + 1);
        *record = Record::new(begin, next, case);
    }

    /// How many times [`restart`](Self::restart) was called.
    #[must_use]
    pub fn case(&self) -> u64 {
        self.lock().case
    }

    /// Never returns: for a fake that gives no answer, on purpose. `who` is how a message names the call:
    /// `capture`, or `the undo of reserve`.
    ///
    /// By this a message distinguishes a call of the learner's code that waits for the fake from one whose
    /// wake-up was lost.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the call; the timeline shows that it was dropped.
    pub async fn no_answer<T>(&self, who: impl Into<String>) -> T {
        let _open = self.opens(who.into());
        std::future::pending().await
    }

    // A function of its own: a guard of the record in the future above would keep it from moving between threads.
    fn opens(&self, who: String) -> Open {
        let mut record = self.lock();
        let number = record.next;
        record.next += 1;
        let since_us = micros(self.clock.since(record.begin));
        record.silent.insert(number, Silent { who, since_us });
        Open { timeline: self.clone(), number }
    }

    /// The first call that does not answer, on purpose, and is still waited for.
    pub(crate) fn first_silent(&self) -> Option<Silent> {
        self.lock().silent.values().next().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `who` saw `what` now.
    pub fn record(&self, who: impl Into<String>, what: impl Into<String>) {
        let mut record = self.lock();
        let at_us = micros(self.clock.since(record.begin));
        let event = Event { at_us, who: who.into(), what: what.into() };
        if record.first.len() < FIRST_EVENTS {
            record.first.push(event);
            return;
        }
        if record.last.len() == LAST_EVENTS {
            record.last.pop_front();
            record.forgotten += 1;
        }
        record.last.push_back(event);
    }

    /// How long after the begin of the criterion, or of its last case, an instant is; zero if it is earlier.
    pub(crate) fn since_case(&self, at: Instant) -> std::time::Duration {
        at.saturating_duration_since(self.lock().begin)
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

    /// What has been recorded since the criterion, or its last case, began. Of very many events the first and the last are
    /// there, and one between them that counts the others.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let record = self.lock();
        let mut events = record.first.clone();
        if let (Some(next), true) = (record.last.front(), record.forgotten > 0) {
            let what = format!("{} more events", record.forgotten);
            events.push(Event { at_us: next.at_us, who: "...".to_owned(), what });
        }
        events.extend(record.last.iter().cloned());
        events
    }
}

/// A call that does not answer, while it is waited for.
struct Open {
    timeline: Timeline,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Taken out first, and the lock released: recording takes it again.
        let silent = self.timeline.lock().silent.remove(&self.number);
        if let Some(Silent { who, .. }) = silent {
            self.timeline.record(who, "dropped before it answers");
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
