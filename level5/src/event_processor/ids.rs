//! Which ids are known: those of events that have not ended, of dead letters, and of the last events that have ended.

use std::collections::{HashSet, VecDeque};

use super::event::EventId;

/// The ids that `ingest` refuses as duplicates.
#[derive(Debug)]
pub(super) struct Ids {
    /// All of them. Those of pending events and dead letters need no other list: the places and the bound of the dead
    /// letters limit their number.
    known: HashSet<EventId>,
    /// Those of events that have ended, oldest first: the order in which they are forgotten.
    ended: VecDeque<EventId>,
    /// The most ids in `ended`. Without a bound each event that ever came would cost memory.
    remembered: usize,
}

impl Ids {
    pub(super) fn new(remembered: usize) -> Self {
        Self { known: HashSet::new(), ended: VecDeque::new(), remembered }
    }

    pub(super) fn contains(&self, id: &EventId) -> bool {
        self.known.contains(id)
    }

    pub(super) fn insert(&mut self, id: EventId) {
        self.known.insert(id);
    }

    pub(super) fn remove(&mut self, id: &EventId) {
        self.known.remove(id);
    }

    /// The event with this id has ended. When too many have, the oldest is forgotten.
    pub(super) fn ended(&mut self, id: EventId) {
        // At most one is too many, since each call adds one: an `if`, no loop. With `remembered` of zero it is the id
        // itself that goes.
        self.ended.push_back(id);
        if self.ended.len() > self.remembered
            && let Some(oldest) = self.ended.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
