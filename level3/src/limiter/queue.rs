//! The callers that wait, in the order in which they are served.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Priority;

/// A caller's place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Which of the two queues the number belongs to.
    priority: Priority,
    /// Numbers rise in the order of joining. No two callers that wait with the same priority share one.
    number: u64,
}

/// Two queues: every refund is served before every charge.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    /// Always served first: [`first`](Self::first) looks at the charges only while this one is empty.
    refunds: Fifo,
    /// Charges behind the refunds. A queue of its own, so that a new refund needs no insertion in the middle.
    charges: Fifo,
}

/// First in, first out.
///
/// A caller that leaves from the middle leaves a gap behind, so that joining and leaving take constant
/// time on average, however many wait. There is never a gap at either end: the front is the next caller
/// to be served, without a search.
#[derive(Debug, Default)]
struct Fifo {
    /// How to wake each caller; `None` is a gap. The caller with number `n` stands at index
    /// `n - front`, so a ticket leads to its place without a search.
    places: VecDeque<Option<Arc<Notify>>>,
    /// The number of the place at the front.
    front: u64,
    /// The number of places that are not gaps.
    waiting: usize,
}

impl WaitQueue {
    /// Returns how many callers would be served before one that joins now.
    pub(super) fn waiters_ahead(&self, priority: Priority) -> usize {
        match priority {
            Priority::Refund => self.refunds.waiting,
            Priority::Charge => self.refunds.waiting + self.charges.waiting,
        }
    }

    pub(super) fn join(&mut self, priority: Priority, caller: Arc<Notify>) -> Ticket {
        // The order between the two queues is not stored: `is_first` and `first` compute it on demand, so a
        // refund that joins goes ahead of every charge without moving one of them.
        Ticket { priority, number: self.fifo_mut(priority).join(caller) }
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.fifo_mut(ticket.priority).leave(ticket.number);
    }

    /// Whether the holder of `ticket` is the next to be served. A charge is first only while no refund
    /// waits; one that was first stops to be when a refund joins.
    pub(super) fn is_first(&self, ticket: Ticket) -> bool {
        let fifo = self.fifo(ticket.priority);
        // The front is never a gap, so its number alone says who is next.
        fifo.front == ticket.number
            && (ticket.priority == Priority::Refund || self.refunds.waiting == 0)
    }

    /// Returns how to wake the next caller to be served.
    pub(super) fn first(&self) -> Option<Arc<Notify>> {
        // Cloned, so that the limiter can wake the caller after it has released the lock. If the caller has
        // left by then, its clone is notified and dropped, and the wake-up has no effect.
        self.refunds.first().or_else(|| self.charges.first()).cloned()
    }

    pub(super) fn waiting(&self, priority: Priority) -> usize {
        self.fifo(priority).waiting
    }

    const fn fifo(&self, priority: Priority) -> &Fifo {
        match priority {
            Priority::Refund => &self.refunds,
            Priority::Charge => &self.charges,
        }
    }

    const fn fifo_mut(&mut self, priority: Priority) -> &mut Fifo {
        match priority {
            Priority::Refund => &mut self.refunds,
            Priority::Charge => &mut self.charges,
        }
    }
}

impl Fifo {
    fn join(&mut self, caller: Arc<Notify>) -> u64 {
        // A queue that has become empty goes on counting from its `front`. A number may be given again only
        // after `leave` has removed it at the back: its caller has left by then.
        let number = self.front + self.places.len() as u64;
        self.places.push_back(Some(caller));
        self.waiting += 1;
        number
    }

    fn leave(&mut self, number: u64) {
        // A number below the front has left before. Each caller leaves once, so this cannot occur; if it did,
        // `checked_sub` makes it a leave without effect and not an underflow under the lock.
        let place = number.checked_sub(self.front).and_then(|index| usize::try_from(index).ok());
        let Some(place) = place.and_then(|index| self.places.get_mut(index)) else { return };
        // A gap and not `remove`: removing would shift the callers behind, and their numbers would no longer
        // lead to their places.
        if place.take().is_some() {
            self.waiting -= 1;
        }
        // Remove the gaps at both ends. Each place is removed once, so the loops take constant time
        // on average, although one call may have many gaps to remove.
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.front += 1;
        }
        while let Some(None) = self.places.back() {
            self.places.pop_back();
        }
    }

    fn first(&self) -> Option<&Arc<Notify>> {
        self.places.front()?.as_ref()
    }
}

#[cfg(test)]
mod tests;
