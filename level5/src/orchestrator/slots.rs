//! The slots that all requests share, and the line in front of them.
//!
//! ```text
//!   acquire ──▶ a free slot, and no caller waits? ── yes ──▶ Slot ── drop ──▶ the next in the line
//!                     │ no                                ▲
//!                     ▼                                   │
//!                  the line ──────────────────────────────┘
//!                     └── dropped: leaves the line
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// A clone is a handle to the same slots.
#[derive(Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

struct State {
    limit: usize,
    running: usize,
    line: Line,
    waiting: BTreeMap<u64, oneshot::Sender<Slot>>,
}

/// The right to send one request. Its destructor passes it on, on every way out.
pub(super) struct Slot(Slots);

impl Slots {
    pub(super) fn new(limit: usize, most_wait: Duration) -> Self {
        let (line, waiting) = (Line::new(most_wait), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { limit, running: 0, line, waiting })))
    }

    /// Waits for a slot. Dropping the future leaves the line.
    pub(super) async fn acquire(&self, priority: u8) -> Slot {
        let (place, receiver) = {
            let mut state = self.lock();
            if state.running < state.limit && state.waiting.is_empty() {
                state.running += 1;
                return Slot(self.clone());
            }
            let (sender, receiver) = oneshot::channel();
            let number = state.line.join(priority, Instant::now());
            state.waiting.insert(number, sender);
            (Place { slots: self.clone(), number, priority }, receiver)
        };
        // A sender leaves the map only with a slot, or with its `Place`, which this future owns.
        let slot = receiver.await.expect("a place in the line ends with a slot");
        drop(place);
        slot
    }

    /// Changes how many requests may run. Requests that run already go on.
    pub(super) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
        self.serve();
    }

    /// Hands free slots to those who wait.
    fn serve(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.running >= state.limit {
                    return;
                }
                let Some(number) = state.line.pop(Instant::now()) else { return };
                let sender = state.waiting.remove(&number);
                state.running += usize::from(sender.is_some());
                sender
            };
            // Outside of the lock: a receiver that is gone returns the slot, whose destructor locks.
            if let Some(sender) = next {
                drop(sender.send(Slot(self.clone())));
            }
        }
    }

    /// No foreign code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.serve();
    }
}

/// A place in the line. Its destructor leaves the line.
struct Place {
    slots: Slots,
    number: u64,
    priority: u8,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.line.leave(self.number, self.priority);
        let sender = state.waiting.remove(&self.number);
        drop(state);
        drop(sender);
    }
}

/// Who is next: the highest priority, and within it the first to arrive. A member that has waited for
/// `most_wait` goes ahead of every priority.
struct Line {
    most_wait: Duration,
    last: u64,
    by_arrival: BTreeMap<u64, (u8, Instant)>,
    by_rank: BTreeSet<(Reverse<u8>, u64)>,
}

impl Line {
    fn new(most_wait: Duration) -> Self {
        Self { most_wait, last: 0, by_arrival: BTreeMap::new(), by_rank: BTreeSet::new() }
    }

    fn join(&mut self, priority: u8, now: Instant) -> u64 {
        self.last += 1;
        self.by_arrival.insert(self.last, (priority, now));
        self.by_rank.insert((Reverse(priority), self.last));
        self.last
    }

    fn leave(&mut self, number: u64, priority: u8) {
        self.by_arrival.remove(&number);
        self.by_rank.remove(&(Reverse(priority), number));
    }

    fn pop(&mut self, now: Instant) -> Option<u64> {
        let (oldest, (priority, since)) = self.by_arrival.first_key_value()?;
        let (number, priority) = if now.duration_since(*since) >= self.most_wait {
            (*oldest, *priority)
        } else {
            let (priority, number) = self.by_rank.first()?;
            (*number, priority.0)
        };
        self.leave(number, priority);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_goes_before_rank() {
        let start = Instant::now();
        let mut line = Line::new(Duration::from_secs(10));
        let low = line.join(1, start);
        let first = line.join(9, start + Duration::from_secs(1));
        let second = line.join(9, start + Duration::from_secs(1));
        assert_eq!(line.pop(start + Duration::from_millis(9999)), Some(first));
        assert_eq!(line.pop(start + Duration::from_secs(10)), Some(low));
        assert_eq!(line.pop(start + Duration::from_secs(10)), Some(second));
        assert_eq!(line.pop(start), None);
    }
}
