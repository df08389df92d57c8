//! The events of one service: when its next batch may go.

use std::time::Duration;

use tokio::time::Instant;

use crate::event_processor::config::Config;
use crate::priority_queue::PriorityQueue;

/// The events of one service.
#[derive(Debug)]
pub(super) struct Lane {
    /// The numbers of the events that may be sent.
    pub(super) queue: PriorityQueue<u64>,
    /// How many events of the queue are urgent. A count, so that no turn has to search the queue for one.
    pub(super) urgent: usize,
    /// Whether a send was begun that has not taken its batch yet. One at a time, so that each finds a batch: two that
    /// are started for the same events would leave the second one nothing to send.
    pub(super) starting: bool,
    /// How many batches are under way.
    pub(super) flying: usize,
    /// The breaker lets no batch through before this time.
    pub(super) held_until: Option<Instant>,
    /// Whether an answer has come since the send was begun: a refusal may be older than that answer, and then it
    /// holds nothing.
    pub(super) answered: bool,
}

impl Lane {
    pub(super) const fn new(max_wait: Duration) -> Self {
        let queue = PriorityQueue::new(max_wait);
        Self { queue, urgent: 0, starting: false, flying: 0, held_until: None, answered: false }
    }

    /// When the next batch may go. `None`: not before something else happens.
    pub(super) fn next(&self, config: &Config, closed: bool, now: Instant) -> Option<Instant> {
        let oldest = self.queue.oldest()?;
        if self.starting || self.flying >= config.batches_in_flight.get() {
            return None;
        }
        // The age of the oldest event of all priorities, computed at each turn. A timer that starts with each batch
        // would let an event that full batches of more important ones leave behind wait for `flush` again and again.
        let full = self.queue.len() >= config.batch_size.get();
        let due = if full || closed || self.urgent > 0 { now } else { later(oldest, config.flush) };
        // A full batch waits for the breaker too: each turn before would start a send only to have it refused.
        Some(self.held_until.map_or(due, |held| held.max(due)))
    }
}

/// `now + wait`, or a time that does not come.
pub(super) fn later(now: Instant, wait: Duration) -> Instant {
    // A configured wait may be `Duration::MAX`, and an `Instant` that overflows panics.
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}
