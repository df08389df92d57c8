//! The callers that wait, sorted by priority and arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Priority;

/// A caller's place.
pub(super) type Ticket = (Priority, u64);

#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    places: BTreeMap<Ticket, Arc<Notify>>,
    joined: u64,
    refunds: usize,
}

impl WaitQueue {
    pub(super) fn waiters_ahead(&self, priority: Priority) -> usize {
        match priority {
            Priority::Refund => self.refunds,
            Priority::Charge => self.places.len(),
        }
    }

    pub(super) fn join(&mut self, priority: Priority, caller: Arc<Notify>) -> Ticket {
        self.joined += 1;
        self.refunds += usize::from(priority == Priority::Refund);
        self.places.insert((priority, self.joined), caller);
        (priority, self.joined)
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        if self.places.remove(&ticket).is_some() && ticket.0 == Priority::Refund {
            self.refunds -= 1;
        }
    }

    pub(super) fn is_first(&self, ticket: Ticket) -> bool {
        self.places.first_key_value().is_some_and(|(first, _)| *first == ticket)
    }

    pub(super) fn first(&self) -> Option<Arc<Notify>> {
        self.places.first_key_value().map(|(_, caller)| Arc::clone(caller))
    }

    pub(super) fn waiting(&self, priority: Priority) -> usize {
        match priority {
            Priority::Refund => self.refunds,
            Priority::Charge => self.places.len() - self.refunds,
        }
    }
}
